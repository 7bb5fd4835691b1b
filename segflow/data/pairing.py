"""What pairs: the rows of the plan, in SQL on the listing of all files.

Options that are off cost nothing: lists, distinct counts and windows over a large data set take as
long as the rest of planning it.
"""

from segflow.data.config import Annotators

# With several annotators, an image is listed for each of them.
_ONCE = """
      QUALIFY row_number() OVER (
        PARTITION BY key, uri ORDER BY shard_group, source_group, ground_resolution) = 1"""
_FIRST = """
      QUALIFY row_number() OVER (PARTITION BY key ORDER BY uri) = 1"""

# Of the masks of a key; what is a duplicate is refused, whichever of them stands for all.
_ONE = """
             min(uri) AS uri, min(bytes) AS bytes, min(mtime_ns) AS mtime_ns,
             min(bytes) AS all_bytes, n > 1 AS are_duplicates, NULL::VARCHAR[] AS mask_uris,
             NULL::BIGINT[] AS masks_bytes, NULL::BIGINT[] AS masks_mtime_ns,"""
_VOTES = """
             min(uri) AS uri, arg_min(bytes, uri) AS bytes, arg_min(mtime_ns, uri) AS mtime_ns,
             sum(bytes)::BIGINT AS all_bytes, count(DISTINCT uri) < n AS are_duplicates,
             if(n > 1, list(uri ORDER BY uri), NULL) AS mask_uris,
             if(n > 1, list(bytes ORDER BY uri), NULL) AS masks_bytes,
             if(n > 1, list(mtime_ns ORDER BY uri), NULL) AS masks_mtime_ns,"""

DISAGREEING = """
    SELECT uri, count(*) OVER () FROM read_parquet($listing) WHERE role = 'image'
    GROUP BY key, uri HAVING count(DISTINCT if(own_split, shard_group, '')) > 1
      OR count(DISTINCT coalesce(source_group, '')) > 1
    ORDER BY uri LIMIT 1
"""
"""The first image whose entries differ in split or group, and how many there are."""


def plain(annotators: Annotators | None) -> str:
    """The plan as the listing alone has it.

    Takes `$listing`, a Parquet file, and `$groups`, the splits in order. Rows come out sorted by
    group and hash of the key: neighbours in a folder are spread over shards, and the order is the
    same wherever and however often the plan is made.
    """
    return f"""
    SELECT * EXCLUDE (position) FROM ({_pairs(annotators)})
    ORDER BY list_position($groups, shard_group), position, key, image_uri
"""


def judged(annotators: Annotators | None) -> str:
    """The plan with `$verdicts`, a Parquet file of splits and refusals by key.

    Only what is not refused already is judged, so its key is its own.
    """
    return f"""
    SELECT * EXCLUDE (position) FROM (
      SELECT p.* REPLACE (CASE WHEN p.code IS NULL THEN coalesce(v.split, p.shard_group)
                               ELSE p.shard_group END AS shard_group,
                          coalesce(p.code, v.code) AS code,
                          coalesce(p.message, v.message) AS message)
      FROM ({_pairs(annotators)}) AS p LEFT JOIN read_parquet($verdicts) AS v USING (key))
    ORDER BY list_position($groups, shard_group), position, key, image_uri
"""


def _pairs(annotators: Annotators | None) -> str:
    return f"""
    WITH own AS (
      SELECT source_group, min(shard_group) AS own_group FROM read_parquet($listing)
      WHERE own_split AND source_group IS NOT NULL GROUP BY source_group
    ), listed AS (  -- what has no split of its own goes where its group is
      SELECT l.* EXCLUDE (shard_group),
             CASE WHEN l.own_split THEN l.shard_group
                  ELSE coalesce(own.own_group, l.shard_group) END AS shard_group
      FROM read_parquet($listing) AS l LEFT JOIN own USING (source_group)
    ), pictures AS (
      SELECT * FROM listed WHERE role = 'image'{_ONCE if annotators else ""}
    ), images AS (
      SELECT *, count(*) OVER (PARTITION BY key) AS n,
             bool_or(code IS NOT DISTINCT FROM 'outside_root') OVER (PARTITION BY key) AS outside,
             string_agg(uri, ', ') OVER (PARTITION BY key ORDER BY uri
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS uris
      FROM pictures
    ), chosen AS (
      SELECT * FROM listed WHERE role = 'mask'{_FIRST if annotators == "first" else ""}
    ), masks AS (
      SELECT key, count(*) AS n,{_VOTES if annotators == "majority" else _ONE}
             min(shard_group) AS shard_group, min(position) AS position,
             min(source_group) AS source_group,
             coalesce(min(code) FILTER (code = 'outside_root'), min(code)) AS code,
             min(message) AS message, min(part) AS part, min(annotation_at) AS annotation_at,
             min(annotation_bytes) AS annotation_bytes,
             string_agg(uri, ', ' ORDER BY uri) AS uris
      FROM chosen GROUP BY key
    )
    SELECT coalesce(i.shard_group, m.shard_group) AS shard_group,
           coalesce(i.position, m.position) AS position,
           coalesce(i.bytes, 0) + coalesce(m.all_bytes, 0) AS weight,
           key, coalesce(i.source_group, m.source_group) AS "group",
           i.uri AS image_uri, i.bytes AS image_bytes, i.mtime_ns AS image_mtime_ns,
           m.uri AS mask_uri, m.bytes AS mask_bytes, m.mtime_ns AS mask_mtime_ns,
           i.part AS image_part, m.part AS mask_part, i.ground_resolution,
           m.annotation_at, m.annotation_bytes,
           m.mask_uris, m.masks_bytes, m.masks_mtime_ns,
           CASE WHEN i.uri IS NULL THEN 'missing_image'
                WHEN i.outside OR m.code = 'outside_root' THEN 'outside_root'
                WHEN i.n > 1 OR m.are_duplicates THEN 'duplicate_key'
                WHEN i.code IS NOT NULL THEN i.code
                WHEN m.uri IS NULL THEN 'missing_mask'
                ELSE m.code END AS code,
           CASE WHEN i.uri IS NULL AND m.n > 1
                  THEN 'no image has the key ' || key || ', but several masks: ' || m.uris
                WHEN i.uri IS NULL THEN 'no image has the key ' || key
                WHEN i.outside AND i.code IS DISTINCT FROM 'outside_root'
                  THEN 'another image of its key lies outside the root'
                WHEN i.outside THEN i.message
                WHEN m.code = 'outside_root' THEN m.message
                WHEN i.n > 1 THEN 'images with one key: ' || i.uris
                WHEN m.are_duplicates THEN 'masks with one key: ' || m.uris
                WHEN i.code IS NOT NULL THEN i.message
                WHEN m.uri IS NULL THEN 'no mask has the key ' || key
                ELSE m.message END AS message
    FROM images AS i FULL JOIN masks AS m USING (key)
"""
