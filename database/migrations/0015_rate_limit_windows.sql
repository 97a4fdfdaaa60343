-- How long the window of a limit is, so that one which ends later than that from now is
-- known for what it is: of a clock that has gone back since. Who was stopped for guessing
-- would else stay so for as much longer; only failures count, so nothing counts him anew.
-- What code before this writes counts as of the longest window, as it did.
SET LOCAL ROLE proctoring_owner;

ALTER TABLE rate_limits ADD COLUMN seconds integer NOT NULL DEFAULT 86400;
