-- Memory of duplicates: first 16 bytes of a SHA-256, and Unix time in milliseconds when it is forgotten.
CREATE TABLE duplicates (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  expires INTEGER NOT NULL,
  key     BLOB NOT NULL
) STRICT;
INSERT INTO totals VALUES ('duplicates', 0, 0);

-- One structured CloudEvent a row: JSON data stands in it byte for byte, other text as a JSON string,
-- anything else as base64.
CREATE VIEW cloudevents AS
SELECT
  seq,
  '{'
    || CASE WHEN json_type(attributes, '$.specversion') IS NULL THEN '"specversion":"1.0",' ELSE '' END
    || substr(attributes, 2, length(attributes) - 2)
    || CASE
      WHEN text AND attributes ->> '$.datacontenttype' LIKE '%json%' AND json_valid(CAST(data AS TEXT))
        THEN ',"data":' || CAST(data AS TEXT)
      WHEN text THEN ',"data":' || json_quote(CAST(data AS TEXT))
      ELSE ',"data_base64":"' || (
        WITH RECURSIVE
          step(at) AS (SELECT 1 UNION ALL SELECT at + 3 FROM step WHERE at + 3 <= length(data)),
          digits(at, hex) AS (SELECT at, hex(substr(data, at, 3)) FROM step),
          bits(at, bytes, n) AS (
            SELECT at, length(hex) / 2,
              (instr('123456789ABCDEF', substr(hex, 1, 1)) << 20)
              | (instr('123456789ABCDEF', substr(hex, 2, 1)) << 16)
              | (CASE WHEN length(hex) > 2 THEN instr('123456789ABCDEF', substr(hex, 3, 1)) ELSE 0 END << 12)
              | (CASE WHEN length(hex) > 2 THEN instr('123456789ABCDEF', substr(hex, 4, 1)) ELSE 0 END << 8)
              | (CASE WHEN length(hex) > 4 THEN instr('123456789ABCDEF', substr(hex, 5, 1)) ELSE 0 END << 4)
              | (CASE WHEN length(hex) > 4 THEN instr('123456789ABCDEF', substr(hex, 6, 1)) ELSE 0 END)
            FROM digits
          ),
          letters(abc) AS (SELECT 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
        SELECT coalesce(group_concat(
          substr(abc, 1 + (n >> 18), 1)
          || substr(abc, 1 + ((n >> 12) & 63), 1)
          || CASE WHEN bytes > 1 THEN substr(abc, 1 + ((n >> 6) & 63), 1) ELSE '=' END
          || CASE WHEN bytes > 2 THEN substr(abc, 1 + (n & 63), 1) ELSE '=' END, ''), '')
        FROM (SELECT * FROM bits, letters ORDER BY at)
      ) || '"'
    END
    || '}' AS event
FROM events;
