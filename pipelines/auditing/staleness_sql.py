"""The queries of `pipelines.auditing.staleness`.

Their tables: events (the snapshot), held (what holds on the day), stored_rows (feed, decision, body), feeds (feed,
recorded_at), lineage (number, served_at), expected (relation, lifetime_days, risk_tier), passes (fact_id, moment, last,
recalls, failed). Moments are seconds since 1970.
"""

ROWS = """
CREATE TABLE rows AS
SELECT feed, decision, body->>'fact_id' AS fact_id, body->>'confirms' AS confirms, body->>'relation' AS relation,
       body->>'subject' AS subject, body->>'object' AS object,
       epoch(try_cast(nullif(body->>'observed_at', '') AS TIMESTAMPTZ)) AS observed_at, recorded_at
FROM stored_rows JOIN feeds USING (feed)
"""

LAGS = """
CREATE TABLE lags AS
WITH seen AS (
    SELECT fact_id, min(observed_at) AS observed_at, min(recorded_at) AS recorded_at, any_value(subject) AS subject,
           any_value(relation) AS relation, any_value(object) AS object
    FROM rows WHERE decision IN ('ADD', 'UPDATE', 'quarantined') AND fact_id <> '' GROUP BY fact_id
),
served AS (
    SELECT fact_id, min(served_at) AS served_at, arg_min(memory, seq) AS memory, min(release) AS release
    FROM events JOIN lineage ON lineage.number = events.release WHERE kind = 'assert' GROUP BY fact_id
),
known AS (SELECT DISTINCT subject, relation, object FROM held)
SELECT seen.*, served.served_at, served.memory, served.release,
       CASE WHEN served.fact_id IS NOT NULL THEN 'served'
            WHEN known.subject IS NOT NULL THEN 'overtaken' ELSE 'waiting' END AS state,
       seen.recorded_at - seen.observed_at AS arrival, served.served_at - seen.recorded_at AS handling,
       served.served_at - seen.observed_at AS total
FROM seen LEFT JOIN served USING (fact_id)
LEFT JOIN known ON (seen.subject, seen.relation, seen.object) = (known.subject, known.relation, known.object)
"""

LAG_SUMMARY = """
SELECT CASE WHEN grouping(relation) = 0 THEN 'relation' WHEN grouping(memory) = 0 THEN 'memory'
            WHEN grouping(release) = 0 THEN 'release' ELSE 'all' END AS part,
       coalesce(relation, memory, CAST(release AS VARCHAR), '') AS name,
       count(*) AS n, count(observed_at) AS observed, {columns}
FROM lags WHERE state = 'served'
GROUP BY GROUPING SETS ((), (relation), (memory), (release)) ORDER BY part, name
"""

HISTORIES = """
WITH said AS (
    SELECT if(decision = 'NOOP', confirms, fact_id) AS fact_id, coalesce(observed_at, recorded_at) AS moment
    FROM rows WHERE decision IN ('ADD', 'UPDATE', 'NOOP')
),
confirmed AS (
    SELECT fact_id, max(moment) AS moment, count(DISTINCT moment) - 1 AS again FROM said WHERE fact_id <> ''
    GROUP BY fact_id
),
written AS (
    SELECT epoch(recorded_at) AS moment, count(*) OVER (ORDER BY seq) AS edits FROM events
    WHERE kind = 'assert' AND memory <> 'rag' AND release IN (SELECT number FROM lineage)
),
sums AS (SELECT moment, max(edits) AS edits FROM written GROUP BY moment),
asserted AS (SELECT fact_id, max(epoch(recorded_at)) AS moment FROM events WHERE kind = 'assert' GROUP BY fact_id),
marks AS (
    SELECT asserted.fact_id, greatest(asserted.moment, coalesce(passes.moment, 0)) AS moment,
           coalesce(passes.recalls, 0) AS recalls, coalesce(passes.failed, false) AS failed
    FROM asserted LEFT JOIN passes ON passes.fact_id = asserted.fact_id AND passes.last > asserted.moment
)
SELECT held.fact_id, held.subject, held.relation, held.object, held.memory,
       coalesce(expected.risk_tier, 'low') AS risk_tier, expected.lifetime_days,
       CAST(make_timestamp(CAST(coalesce(confirmed.moment, epoch(held.recorded_at)) * 1000000 AS BIGINT)) AS DATE)
           AS last_confirmed,
       coalesce(confirmed.again, 0) AS confirmations, marks.recalls, marks.failed,
       (SELECT coalesce(max(edits), 0) FROM sums) - coalesce(sums.edits, 0) AS edits_since
FROM held LEFT JOIN expected USING (relation) LEFT JOIN confirmed USING (fact_id)
JOIN marks ON marks.fact_id = held.fact_id
ASOF LEFT JOIN sums ON marks.moment >= sums.moment
ORDER BY held.fact_id
"""

STALE = """
SELECT *, date_diff('day', last_confirmed, $today) AS age_days,
       age_days > lifetime_days AS overdue, age_days - lifetime_days AS days_over
FROM histories
"""

STALE_SUMMARY = f"""
SELECT relation, min(risk_tier) AS risk_tier, min(lifetime_days) AS lifetime_days, count(*) AS n,
       count(*) FILTER (overdue) AS overdue_facts, median(age_days) AS median_age_days, max(age_days) AS oldest_days
FROM ({STALE}) GROUP BY relation ORDER BY overdue_facts / n DESC, relation
"""

OVERDUE = f"""
SELECT fact_id, subject, relation, object, memory, risk_tier, age_days, lifetime_days FROM ({STALE}) WHERE overdue
ORDER BY CASE risk_tier WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, days_over DESC, fact_id LIMIT $most
"""
