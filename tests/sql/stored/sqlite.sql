BEGIN TRANSACTION;
CREATE TABLE accounts (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    client_type VARCHAR(32) NOT NULL,
    name VARCHAR(255) NOT NULL,
    secret_hash TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    secret_changed_at BIGINT NOT NULL,
    UNIQUE (client_type, name)
);
INSERT INTO "accounts" VALUES(1,'email','ann@x','$argon2id$v=19$m=8,t=1,p=1$EbvMBrB4Bo2FhDhmyJe36A$n6a6RB9A3xE8M98LHPxnwANCwdW/aIhhlJ7IBHH265o','read write','blue',0,1700000000,1700000000);
INSERT INTO "accounts" VALUES(2,'username','bob','$argon2id$v=19$m=8,t=1,p=1$rtuJy9zesXZfS2UjZ+6BcA$3ZgRh0TuAShfqnxgKiVGipFt48MI5ugWcAD9hsdhI6A','','blue',1,1700000000,1700000000);
CREATE TABLE jwt_attempts (
    name_hash BLOB NOT NULL,
    times TEXT NOT NULL,
    idle_from DOUBLE NOT NULL,
    PRIMARY KEY (name_hash)
)
 WITHOUT ROWID;
INSERT INTO "jwt_attempts" VALUES(X'49915E0D7D4B402E3017D010BC1C0E83','[1700000000.25]',1700000060.25);
INSERT INTO "jwt_attempts" VALUES(X'D80C9BF910F144738EF983724BC04BD6','[1700000000.25]',1700000060.25);
CREATE TABLE jwt_revocations (
    number INTEGER NOT NULL,
    name_hash BLOB NOT NULL,
    kind VARCHAR(8) NOT NULL,
    name TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (number),
    UNIQUE (name_hash)
);
INSERT INTO "jwt_revocations" VALUES(1,X'E90B77EE11F3E4CD3C9E4E99F532CA49','token','j\x00\ud800ti',1700000000,1700000100);
CREATE TABLE jwt_sessions (
    sid TEXT NOT NULL,
    subject_hash BLOB NOT NULL,
    payload TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    used_at DOUBLE NOT NULL,
    expires_at DOUBLE NOT NULL,
    ends_at DOUBLE NOT NULL,
    tokens_until DOUBLE NOT NULL,
    token_hash BLOB,
    previous_hash BLOB,
    salt BLOB,
    rotated_at DOUBLE,
    PRIMARY KEY (sid)
)
 WITHOUT ROWID;
INSERT INTO "jwt_sessions" VALUES('sid',X'73475CB40A568E8DA8A045CED110137E','{"uid": 42, "auth": "blue", "scope": "read write", "ac_type": "email", "credential": "1700000000"}',1700000000.25,1700000000.25,1700001000.25,1700010000.25,1700000100.75,X'0101010101010101010101010101010101010101010101010101010101010101',NULL,NULL,NULL);
INSERT INTO "jwt_sessions" VALUES('used',X'2D711642B726B04401627CA9FBAC32F5','{"uid": "x", "auth": "blue", "scope": "", "ac_type": "email", "credential": null}',1700000000.25,1700000000.25,1700002000.25,1700010000.25,1700000200.25,X'0202020202020202020202020202020202020202020202020202020202020202',X'0101010101010101010101010101010101010101010101010101010101010101',X'73737373737373737373737373737373',1700000000.25);
CREATE TABLE jwt_store (
    id INTEGER NOT NULL,
    identity VARCHAR(32) NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO "jwt_store" VALUES(1,'e088ba2e2cd1f516',1);
CREATE INDEX ix_jwt_sessions_expires_at ON jwt_sessions (expires_at);
CREATE INDEX ix_jwt_sessions_subject ON jwt_sessions (subject_hash, sid);
CREATE INDEX ix_jwt_revocations_expires_at ON jwt_revocations (expires_at);
CREATE INDEX ix_jwt_attempts_idle_from ON jwt_attempts (idle_from);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('accounts',2);
COMMIT;
