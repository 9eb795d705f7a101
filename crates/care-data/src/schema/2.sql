-- Format 2: how grey images are seen, and what hides the names of patients.

CREATE TABLE project (
    -- There is one row.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- file, auto, full, or center,width.
    windowing TEXT NOT NULL,
    -- Black and white exchanged.
    invert INTEGER NOT NULL CHECK (invert IN (0, 1)),
    -- Key of the hashes that stand for patients.
    salt BLOB NOT NULL CHECK (length(salt) = 32)
) STRICT;
INSERT INTO project (id, windowing, invert, salt) VALUES (1, 'file', 0, randomblob(32));
