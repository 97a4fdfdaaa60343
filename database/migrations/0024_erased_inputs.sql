-- Who guesses the answers can compare what an analysis was computed from with its hash, which
-- has no salt: it goes with what the analysis says. docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_owner;

-- As in 0012_erasure.sql, but for inputs_hash.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_user = 'proctoring_owner' THEN
        IF TG_TABLE_NAME = 'proctoring_events' THEN
            OLD.payload := '{}';
        ELSIF TG_TABLE_NAME = 'ai_analyses' THEN
            -- Whoever empties the one empties the other.
            OLD.inputs_hash := decode(repeat('00', 32), 'hex');
            NEW.inputs_hash := OLD.inputs_hash;
            OLD.result := erased_result(OLD.result);
        END IF;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
