-- What every report of an exam client does to the database, in two functions instead of
-- statements that are parsed and planned anew each time: half of what a report of one
-- event cost. docs/decisions/0008-event-ingest.md
SET LOCAL ROLE proctoring_owner;

-- Locks what a report is judged against, and reads it. The share lock keeps the attempt
-- from ending or pausing meanwhile. The other one puts the reports of one attempt in a
-- row, so that each knows of all before it: which events are new and which are missing is
-- then a fact and no guess.
CREATE FUNCTION lock_report_context(p_attempt_id uuid, p_student_id uuid)
RETURNS TABLE (
    id uuid, status text, started_at timestamptz, deadline_at timestamptz,
    paused_at timestamptz, ended_at timestamptz, held_by_session uuid, policy text,
    contiguous_sequence bigint, highest_sequence bigint, reported_events integer,
    displaced_session uuid, displaced_at timestamptz, read_at timestamptz
)
LANGUAGE plpgsql VOLATILE ROWS 1
-- A plan is kept, also one that was made while the tables were still small.
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    SELECT attempts.id, attempts.status, attempts.started_at, attempts.deadline_at,
           attempts.paused_at, attempts.ended_at, attempts.held_by_session,
           exams.proctoring::text, activity.contiguous_sequence,
           activity.highest_sequence, activity.reported_events,
           activity.displaced_session, activity.displaced_at
      INTO id, status, started_at, deadline_at, paused_at, ended_at, held_by_session,
           policy, contiguous_sequence, highest_sequence, reported_events,
           displaced_session, displaced_at
      FROM attempts
      JOIN exams ON exams.id = attempts.exam_id
      JOIN attempt_activity AS activity ON activity.attempt_id = attempts.id
     WHERE attempts.id = p_attempt_id AND attempts.student_id = p_student_id
       FOR SHARE OF attempts FOR NO KEY UPDATE OF activity;
    IF FOUND THEN
        -- Before the locks were had it would have been too early.
        read_at := clock_timestamp();
        RETURN NEXT;
    END IF;
END $$;

-- Stores the events of one report of a client that are not stored yet, moves the
-- attempt's activity, and appends one entry that holds them. `p_logged` is the canonical
-- text {"events":[…]}. The client ids of those that were known stand afterwards in the
-- setting proctoring.returned, separated by commas; if all were, nothing is changed and
-- proctoring.appended is ''.
CREATE FUNCTION record_events(
    p_attempt_id uuid, p_batch_id uuid, p_received_at timestamptz, p_logged text,
    p_contiguous_sequence bigint, p_highest_sequence bigint, p_is_holder_heard boolean,
    p_is_displaced_heard boolean, p_is_analysis_due boolean, p_actor_id text
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
DECLARE
    reported jsonb := p_logged::jsonb -> 'events';
    new_ids  uuid[];
    counted  integer;
    split    record;
    entry    text := p_logged;
    known    text := '';
BEGIN
    WITH inserted AS (
        INSERT INTO proctoring_events (
            id, attempt_id, batch_id, client_event_id, sequence, event_type,
            event_class, severity, occurred_at, received_at, payload)
        SELECT event.id, p_attempt_id, p_batch_id, event.client_event_id,
               event.sequence, event.event_type, event.event_class, event.severity,
               event.occurred_at, p_received_at, event.payload
          FROM jsonb_to_recordset(reported) AS event (
               id uuid, client_event_id uuid, sequence bigint, event_type text,
               event_class text, severity text, occurred_at timestamptz,
               payload jsonb)
        ON CONFLICT ON CONSTRAINT proctoring_events_client_event_id_key DO NOTHING
        RETURNING client_event_id, sequence)
    SELECT array_agg(client_event_id), count(sequence) INTO new_ids, counted
      FROM inserted;

    IF coalesce(cardinality(new_ids), 0) < jsonb_array_length(reported) THEN
        -- A second delivery. The type json keeps the text of each event as it came.
        SELECT string_agg(event::text, ',' ORDER BY place)
                   FILTER (WHERE client_id = ANY (new_ids)) AS new_events,
               string_agg(client_id::text, ',')
                   FILTER (WHERE new_ids IS NULL OR client_id <> ALL (new_ids))
                   AS known_ids
          INTO split
          FROM (SELECT event, place, (event ->> 'client_event_id')::uuid AS client_id
                  FROM json_array_elements(p_logged::json -> 'events')
                       WITH ORDINALITY AS events(event, place)) AS named;
        entry := concat('{"events":[', split.new_events, ']}');
        known := split.known_ids;
    END IF;
    PERFORM set_config('proctoring.returned', known, false);
    IF new_ids IS NULL THEN
        PERFORM set_config('proctoring.appended', '', false);
        RETURN;
    END IF;

    UPDATE attempt_activity
       SET last_seen_at = CASE WHEN p_is_holder_heard
                               THEN p_received_at ELSE last_seen_at END,
           contiguous_sequence = p_contiguous_sequence,
           highest_sequence = p_highest_sequence,
           reported_events = reported_events + counted,
           displaced_session = CASE WHEN p_is_displaced_heard
                                    THEN NULL ELSE displaced_session END,
           displaced_at = CASE WHEN p_is_displaced_heard
                               THEN NULL ELSE displaced_at END,
           analysis_due_since = CASE WHEN p_is_analysis_due
               THEN least(analysis_due_since, p_received_at)
               ELSE analysis_due_since END
     WHERE attempt_id = p_attempt_id;
    -- Last, because from here on all writers wait.
    PERFORM audit_append_one('proctoring.events_recorded', 'event_batch',
                             p_batch_id::text, p_actor_id, p_attempt_id, entry);
END $$;

REVOKE ALL ON FUNCTION lock_report_context(uuid, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION record_events(
    uuid, uuid, timestamptz, text, bigint, bigint, boolean, boolean, boolean, text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_report_context(uuid, uuid) TO proctoring_app;
GRANT EXECUTE ON FUNCTION record_events(
    uuid, uuid, timestamptz, text, bigint, bigint, boolean, boolean, boolean, text)
    TO proctoring_app;
