BEGIN TRANSACTION;
CREATE TABLE appliance (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "appliance" VALUES('appliance_id','00000000-0000-4000-8000-000000000001');
CREATE TABLE artifacts (
            artifact_id   TEXT PRIMARY KEY,
            run_id        TEXT NOT NULL REFERENCES runs,
            name          TEXT NOT NULL,
            artifact_type TEXT NOT NULL,
            storage_path  TEXT NOT NULL,
            content_type  TEXT NOT NULL,
            size_bytes    INTEGER NOT NULL,
            sha256        TEXT NOT NULL,
            source_phase  TEXT NOT NULL,
            created_at    TEXT NOT NULL,
            expires_at    TEXT,
            UNIQUE (run_id, name)
        ) STRICT
        ;
INSERT INTO "artifacts" VALUES('aaaaaaaa','10000000-0000-4000-8000-000000000000','specify.stdout.log','stdout_log','runs/10000000-0000-4000-8000-000000000000/artifacts/specify.stdout.log','text/plain',5,'c73b73af8851e9e91bc6b4dc12e7dace0a2bfb931c1d0b8b36ef367319f58cd1','speckit_specify','2026-03-01T12:00:00.000000Z',NULL);
CREATE TABLE events (
            event_id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind     TEXT NOT NULL,
            at       TEXT NOT NULL,
            run_id   TEXT,
            shard    INTEGER,
            data     TEXT NOT NULL
        ) STRICT
        ;
INSERT INTO "events" VALUES(1,'run.queued','2026-03-01T12:00:00.000000Z','10000000-0000-4000-8000-000000000000',NULL,'{"status":"queued"}');
INSERT INTO "events" VALUES(2,'run.claimed','2026-03-01T12:00:00.000000Z','10000000-0000-4000-8000-000000000000',0,'{"status":"in_progress"}');
INSERT INTO "events" VALUES(3,'phase.running','2026-11-27T03:15:36.267753Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"prepare_job","status":"running","attempt":1}');
INSERT INTO "events" VALUES(4,'phase.succeeded','2026-11-27T03:15:36.276562Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"prepare_job","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(5,'phase.running','2026-11-27T03:15:36.277729Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"start_job_container","status":"running","attempt":1}');
INSERT INTO "events" VALUES(6,'phase.succeeded','2026-11-27T03:15:36.285783Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"start_job_container","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(7,'phase.running','2026-11-27T03:15:36.291870Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"git_clone","status":"running","attempt":1}');
INSERT INTO "events" VALUES(8,'phase.succeeded','2026-11-27T03:15:36.302237Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"git_clone","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(9,'phase.running','2026-11-27T03:15:36.306560Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_specify","status":"running","attempt":1}');
INSERT INTO "events" VALUES(10,'phase.succeeded','2026-11-27T03:15:36.308629Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_specify","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(11,'phase.running','2026-11-27T03:15:36.311383Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_plan","status":"running","attempt":1}');
INSERT INTO "events" VALUES(12,'phase.succeeded','2026-11-27T03:15:36.321248Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_plan","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(13,'phase.running','2026-11-27T03:15:36.338053Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_tasks","status":"running","attempt":1}');
INSERT INTO "events" VALUES(14,'phase.succeeded','2026-11-27T03:15:36.343491Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"speckit_tasks","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(15,'phase.running','2026-11-27T03:15:36.354219Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"commit_push","status":"running","attempt":1}');
INSERT INTO "events" VALUES(16,'phase.succeeded','2026-11-27T03:15:36.357299Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"commit_push","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(17,'phase.running','2026-11-27T03:15:36.363475Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"open_pr","status":"running","attempt":1}');
INSERT INTO "events" VALUES(18,'phase.succeeded','2026-11-27T03:15:36.365986Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"open_pr","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(19,'phase.running','2026-11-27T03:15:36.372586Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"cleanup","status":"running","attempt":1}');
INSERT INTO "events" VALUES(20,'phase.succeeded','2026-11-27T03:15:36.379372Z','10000000-0000-4000-8000-000000000000',0,'{"phase":"cleanup","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(21,'artifact.saved','2026-11-27T03:15:36.381288Z','10000000-0000-4000-8000-000000000000',NULL,'{"artifact_id":"aaaaaaaa","name":"specify.stdout.log","artifact_type":"stdout_log","size_bytes":5}');
INSERT INTO "events" VALUES(22,'run.succeeded','2026-03-01T12:00:00.000000Z','10000000-0000-4000-8000-000000000000',0,'{"status":"succeeded"}');
INSERT INTO "events" VALUES(23,'run.queued','2026-03-01T12:01:00.000000Z','20000000-0000-4000-8000-000000000000',NULL,'{"status":"queued"}');
INSERT INTO "events" VALUES(24,'run.claimed','2026-03-01T12:00:00.000000Z','20000000-0000-4000-8000-000000000000',1,'{"status":"in_progress"}');
INSERT INTO "events" VALUES(25,'phase.running','2026-11-27T03:15:36.418028Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"prepare_job","status":"running","attempt":1}');
INSERT INTO "events" VALUES(26,'phase.succeeded','2026-11-27T03:15:36.421071Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"prepare_job","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(27,'phase.running','2026-11-27T03:15:36.445352Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"start_job_container","status":"running","attempt":1}');
INSERT INTO "events" VALUES(28,'phase.succeeded','2026-11-27T03:15:36.449896Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"start_job_container","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(29,'phase.running','2026-11-27T03:15:36.451281Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"git_clone","status":"running","attempt":1}');
INSERT INTO "events" VALUES(30,'phase.succeeded','2026-11-27T03:15:36.456832Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"git_clone","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(31,'phase.running','2026-11-27T03:15:36.470309Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"speckit_specify","status":"running","attempt":1}');
INSERT INTO "events" VALUES(32,'phase.succeeded','2026-11-27T03:15:36.473403Z','20000000-0000-4000-8000-000000000000',1,'{"phase":"speckit_specify","status":"succeeded","attempt":1}');
INSERT INTO "events" VALUES(33,'run.queued','2026-03-01T12:02:00.000000Z','30000000-0000-4000-8000-000000000000',NULL,'{"status":"queued"}');
INSERT INTO "events" VALUES(34,'token.created','2026-11-27T03:15:36.487432Z',NULL,NULL,'{"name":"ann","operator":true}');
CREATE TABLE idempotency_keys (
            key    TEXT PRIMARY KEY,
            digest TEXT NOT NULL,
            run_id TEXT NOT NULL REFERENCES runs
        ) STRICT
        ;
INSERT INTO "idempotency_keys" VALUES('key-0','digest-0','10000000-0000-4000-8000-000000000000');
CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;
INSERT INTO "migrations" VALUES('m0001_first_tables','2026-11-27T03:15:36.212504+00:00');
CREATE TABLE phases (
            run_id       TEXT NOT NULL REFERENCES runs,
            position     INTEGER NOT NULL,
            phase        TEXT NOT NULL,
            status       TEXT NOT NULL CHECK (status IN
                ('pending', 'running', 'succeeded', 'failed', 'skipped', 'retrying')),
            attempt      INTEGER NOT NULL DEFAULT 0,
            started_at   TEXT,
            completed_at TEXT,
            stdout_path  TEXT,
            stderr_path  TEXT,
            metadata     TEXT NOT NULL DEFAULT '{}',
            PRIMARY KEY (run_id, position)
        ) STRICT, WITHOUT ROWID
        ;
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',0,'prepare_job','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"repository":"Acme/Shop","base_branch":"main"}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',1,'start_job_container','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"workspace_is_new":true}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',2,'git_clone','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"base_commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',3,'speckit_specify','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"turn":{"verdict":"completed","usage":{"output_tokens":7}},"feature_directory":"specs/001-basket","title":"Basket","assumptions":"- one"}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',4,'speckit_plan','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"turn":{"verdict":"completed","usage":{"output_tokens":8}},"feature_directory":"specs/001-basket"}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',5,'speckit_tasks','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"turn":{"usage":{"output_tokens":9}}}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',6,'commit_push','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"dry_run":false,"pushed":true,"paths":["specs/001-basket/spec.md"],"left_out":[],"left_out_count":0}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',7,'open_pr','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"number":1,"how":"opened as a draft"}');
INSERT INTO "phases" VALUES('10000000-0000-4000-8000-000000000000',8,'cleanup','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',0,'prepare_job','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"repository":"Acme/Shop","base_branch":"main"}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',1,'start_job_container','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"workspace_is_new":true}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',2,'git_clone','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"base_commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',3,'speckit_specify','succeeded',1,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z',NULL,NULL,'{"turn":{"verdict":"completed","usage":{"output_tokens":7}},"feature_directory":"specs/001-basket","title":"Basket","assumptions":"- one"}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',4,'speckit_plan','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',5,'speckit_tasks','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',6,'commit_push','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',7,'open_pr','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('20000000-0000-4000-8000-000000000000',8,'cleanup','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',0,'prepare_job','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',1,'start_job_container','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',2,'git_clone','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',3,'speckit_specify','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',4,'speckit_plan','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',5,'speckit_tasks','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',6,'commit_push','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',7,'open_pr','pending',0,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "phases" VALUES('30000000-0000-4000-8000-000000000000',8,'cleanup','pending',0,NULL,NULL,NULL,NULL,'{}');
CREATE TABLE runs (
            run_id              TEXT PRIMARY KEY,
            repository          TEXT NOT NULL COLLATE NOCASE,
            specify_text        TEXT NOT NULL,
            accepted_at         TEXT NOT NULL,
            subject             TEXT NOT NULL,
            created_by          TEXT NOT NULL,
            base_branch         TEXT NOT NULL,
            dry_run             INTEGER NOT NULL,
            external_ref        TEXT,
            shard_pin           INTEGER,
            status              TEXT NOT NULL CHECK (status IN
                ('queued', 'in_progress', 'succeeded', 'failed', 'no_changes', 'cancelled')),
            waiting_for         TEXT,
            waiting_until       TEXT,
            shard               INTEGER,
            lease               TEXT,
            lease_until         TEXT,
            cancel_requested_at TEXT,
            interruptions       INTEGER NOT NULL DEFAULT 0,
            branch_name         TEXT,
            pull_request_url    TEXT,
            result_summary      TEXT,
            failure             TEXT,
            clarifications      TEXT NOT NULL DEFAULT '[]',
            agent               TEXT,
            started_at          TEXT,
            completed_at        TEXT,
            CHECK ((status = 'in_progress') = (lease IS NOT NULL))
        ) STRICT
        ;
INSERT INTO "runs" VALUES('10000000-0000-4000-8000-000000000000','Acme/Shop','# Run 0

Add a basket – with ''quotes''.','2026-03-01T12:00:00.000000Z','local:ann','{"subject":"local:ann","username":"ann","operator":false}','main',0,'T-0',NULL,'succeeded',NULL,NULL,0,NULL,NULL,NULL,0,NULL,NULL,'Opened.',NULL,'[]',NULL,'2026-03-01T12:00:00.000000Z','2026-03-01T12:00:00.000000Z');
INSERT INTO "runs" VALUES('20000000-0000-4000-8000-000000000000','Acme/Shop','# Run 1

Add a basket – with ''quotes''.','2026-03-01T12:01:00.000000Z','local:ann','{"subject":"local:ann","username":"ann","operator":false}','main',0,'T-1',NULL,'in_progress',NULL,NULL,1,'M','2026-03-01T12:01:00.000000Z',NULL,0,NULL,NULL,NULL,NULL,'[]',NULL,'2026-03-01T12:00:00.000000Z',NULL);
INSERT INTO "runs" VALUES('30000000-0000-4000-8000-000000000000','Acme/Other','# Run 2

Add a basket – with ''quotes''.','2026-03-01T12:02:00.000000Z','local:ann','{"subject":"local:ann","username":"ann","operator":false}','main',0,'T-2',NULL,'queued',NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL);
CREATE TABLE shards (shard INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;
INSERT INTO "shards" VALUES(0,'{"shard":0,"login":"present","login_reason":"","account_email":null,"plan":null,"login_at":null,"checked_at":"2026-03-01T12:00:00Z","access_expires_at":null,"last_refresh_at":null,"last_turn_at":null,"quota":[],"rests_until":null}');
CREATE TABLE tokens (
            token_id     INTEGER PRIMARY KEY,
            name         TEXT NOT NULL,
            sha256       BLOB NOT NULL UNIQUE,
            operator     INTEGER NOT NULL,
            created_at   TEXT NOT NULL,
            expires_at   TEXT,
            revoked_at   TEXT,
            last_used_at TEXT
        ) STRICT
        ;
INSERT INTO "tokens" VALUES(1,'ann',X'09C268A8AD87F00B465A3261D91E7B017674B4202A6A71E690E3DAD62F426183',1,'2026-11-27T03:15:36.487432Z',NULL,NULL,NULL);
CREATE INDEX runs_newest ON runs (accepted_at, run_id);
CREATE INDEX runs_of_subject ON runs (subject, accepted_at, run_id);
CREATE INDEX runs_of_status ON runs (status, accepted_at, run_id);
CREATE INDEX runs_of_external_ref ON runs (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX artifacts_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX events_of_run ON events (run_id, event_id) WHERE run_id IS NOT NULL;
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',34);
COMMIT;
