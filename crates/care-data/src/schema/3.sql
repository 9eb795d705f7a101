-- Format 3: who drew a box and when, what people say about an image, and readers who read apart.

CREATE TABLE reader (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- NULL: the project's own.
ALTER TABLE box ADD COLUMN reader INTEGER REFERENCES reader (id);
ALTER TABLE box ADD COLUMN origin TEXT NOT NULL DEFAULT 'imported'
    CHECK (origin IN ('drawn', 'imported', 'attention', 'saliency', 'readers'));
-- Empty and 0 where nobody knows.
ALTER TABLE box ADD COLUMN by TEXT NOT NULL DEFAULT '';
ALTER TABLE box ADD COLUMN at INTEGER NOT NULL DEFAULT 0;

CREATE TABLE review (
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES image (id),
    reader INTEGER REFERENCES reader (id),
    state TEXT NOT NULL CHECK (state IN ('to do', 'done', 'second look')),
    note TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX review_by_page ON review (image, coalesce(reader, 0));
INSERT INTO review (image, state, note) SELECT id, 'done', '' FROM image WHERE done;
ALTER TABLE image DROP COLUMN done;

-- The journal knows who drew what; every other box came with an import.
CREATE TEMP TABLE drawn (id INTEGER PRIMARY KEY, who TEXT NOT NULL, at INTEGER NOT NULL);
INSERT INTO drawn
    SELECT json_extract(edit, '$.annotation.id'), who, at FROM journal WHERE json_extract(edit, '$.edit') = 'add_box';
UPDATE box SET origin = 'drawn', by = drawn.who, at = drawn.at FROM drawn WHERE drawn.id = box.id;
UPDATE journal SET edit = json_set(
    edit, '$.annotation.reader', NULL, '$.annotation.origin', 'drawn', '$.annotation.by', who, '$.annotation.at', at
) WHERE json_extract(edit, '$.edit') = 'add_box';
UPDATE journal SET inverse = (
    SELECT json_set(
        inverse, '$.annotation.reader', NULL, '$.annotation.origin', iif(drawn.id IS NULL, 'imported', 'drawn'),
        '$.annotation.by', coalesce(drawn.who, ''), '$.annotation.at', coalesce(drawn.at, 0)
    ) FROM (SELECT json_extract(inverse, '$.annotation.id') AS id) AS removed LEFT JOIN drawn ON drawn.id = removed.id
) WHERE json_extract(inverse, '$.edit') = 'add_box';
DROP TABLE drawn;

UPDATE journal SET edit = json_object(
    'edit', 'set_review', 'image', json_extract(edit, '$.image'), 'reader', NULL,
    'state', iif(json_extract(edit, '$.done'), 'done', 'to do')
) WHERE json_extract(edit, '$.edit') = 'set_done';
UPDATE journal SET inverse = json_object(
    'edit', 'set_review', 'image', json_extract(inverse, '$.image'), 'reader', NULL,
    'state', iif(json_extract(inverse, '$.done'), 'done', 'to do')
) WHERE json_extract(inverse, '$.edit') = 'set_done';
