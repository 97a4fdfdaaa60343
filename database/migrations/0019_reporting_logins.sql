-- The entry of a report says which login sent it, since a device that was displaced may
-- report what nobody did at it: {"events":[…],"session_id":"…"}. And what is refused
-- because its id is known no longer moves the client's counter. docs/decisions/0008
SET LOCAL ROLE proctoring_owner;

-- As in 0013_record_events.sql, but for these two.
CREATE OR REPLACE FUNCTION record_events(
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
    newest   bigint;
    split    record;
    entry    text := p_logged;
    known    text := '';
    reached  record;
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
    SELECT array_agg(client_event_id), count(sequence), max(sequence)
      INTO new_ids, counted, newest
      FROM inserted;

    SELECT p_contiguous_sequence AS contiguous, p_highest_sequence AS highest
      INTO reached;
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
        entry := concat(
            '{"events":[', split.new_events, ']',
            ',"session_id":' || to_json(p_logged::json ->> 'session_id')::text, '}');
        known := split.known_ids;
        -- A number that came under a known id has not arrived: what is stored tells how
        -- far the counter has come. It may lag, and no more is looked at.
        SELECT coalesce(max(sequence) FILTER (WHERE sequence = came_to + place),
                        min(came_to)) AS contiguous,
               greatest(min(went_to), newest) AS highest
          INTO reached
          FROM (SELECT contiguous_sequence AS came_to, highest_sequence AS went_to
                  FROM attempt_activity WHERE attempt_id = p_attempt_id) AS counter
          LEFT JOIN LATERAL (
               SELECT sequence, row_number() OVER (ORDER BY sequence) AS place
                 FROM (SELECT DISTINCT sequence FROM proctoring_events
                        WHERE attempt_id = p_attempt_id AND sequence > came_to
                        ORDER BY sequence LIMIT 5000) AS above) AS numbered ON true;
    END IF;
    PERFORM set_config('proctoring.returned', known, false);
    IF new_ids IS NULL THEN
        PERFORM set_config('proctoring.appended', '', false);
        RETURN;
    END IF;

    UPDATE attempt_activity
       SET last_seen_at = CASE WHEN p_is_holder_heard
                               THEN p_received_at ELSE last_seen_at END,
           contiguous_sequence = reached.contiguous,
           highest_sequence = reached.highest,
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
