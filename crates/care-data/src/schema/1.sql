-- Format 1. A format that was ever published is never changed; a change is a new file beside this one.

CREATE TABLE class (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    color INTEGER NOT NULL,
    rare INTEGER NOT NULL CHECK (rare IN (0, 1))
) STRICT;

CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Relative to the project's folder where both share a disk, with / between its parts.
    path TEXT NOT NULL UNIQUE,
    -- BLAKE3 of the file.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- As shown, that is after the EXIF orientation was applied.
    width INTEGER NOT NULL CHECK (width > 0),
    height INTEGER NOT NULL CHECK (height > 0),
    orientation INTEGER NOT NULL CHECK (orientation BETWEEN 1 AND 8),
    class INTEGER NOT NULL REFERENCES class (id),
    -- Patient or lesion.
    "group" TEXT NOT NULL,
    part TEXT NOT NULL CHECK (part IN ('train', 'validation', 'test')),
    done INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

-- xyxy in pixels of the image as shown.
CREATE TABLE box (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image INTEGER NOT NULL REFERENCES image (id),
    x0 REAL NOT NULL,
    y0 REAL NOT NULL,
    x1 REAL NOT NULL CHECK (x1 > x0),
    y1 REAL NOT NULL CHECK (y1 > y0)
) STRICT;

-- Every edit ever made. Undone ones can be redone until the next edit abandons them.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Unix time in milliseconds, here and below.
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    edit TEXT NOT NULL,
    inverse TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'abandoned'))
) STRICT;
CREATE INDEX journal_by_state ON journal (state, id);

-- Every import, with the split it asked for.
CREATE TABLE import (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    seed INTEGER NOT NULL,
    test REAL NOT NULL,
    validation REAL NOT NULL,
    added INTEGER NOT NULL,
    already_there INTEGER NOT NULL
) STRICT;

-- What the last import could not read.
CREATE TABLE not_read (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    why TEXT NOT NULL,
    advice TEXT NOT NULL
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'stopped', 'failed')),
    started_at INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TABLE metric (
    run INTEGER NOT NULL REFERENCES run (id),
    model TEXT NOT NULL,
    name TEXT NOT NULL,
    -- NULL where the measure is not defined.
    value REAL,
    n INTEGER NOT NULL,
    low REAL,
    high REAL,
    PRIMARY KEY (run, model, name)
) STRICT;
