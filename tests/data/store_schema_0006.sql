BEGIN TRANSACTION;
CREATE TABLE applications (
	seq INTEGER NOT NULL, 
	id VARCHAR(128) NOT NULL, 
	plan_id VARCHAR(128) NOT NULL, 
	job_id VARCHAR(128) NOT NULL, 
	target_kind VARCHAR(32) NOT NULL, 
	target_path TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	actor TEXT NOT NULL, 
	plan_hash VARCHAR(64) NOT NULL, 
	before_hash VARCHAR(64), 
	message TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, wish VARCHAR(32) DEFAULT 'carry_on' NOT NULL, is_stale BOOLEAN DEFAULT 0 NOT NULL, applied_at DATETIME, live_at DATETIME, tries INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_applications PRIMARY KEY (seq), 
	CONSTRAINT fk_applications_plans FOREIGN KEY(plan_id) REFERENCES plans (id), 
	CONSTRAINT uq_applications_id UNIQUE (id)
);
INSERT INTO "applications" VALUES(1,'application-1','plan-1','job-1','file','/srv/dlrm/plan.json','rolling_back','ada','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','waiting','2026-03-01 12:00:06.123456','2026-03-01 12:00:07.123456','carry_on',1,'2026-03-01 12:00:06.373456','2026-03-01 12:00:06.623456',1);
CREATE TABLE attempts (
	job_id VARCHAR(128) NOT NULL, 
	trial_number INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	pair INTEGER, 
	state VARCHAR(32) NOT NULL, 
	placement TEXT NOT NULL, 
	handle TEXT, 
	created_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	measurement TEXT, 
	failure TEXT, 
	spend TEXT NOT NULL, fingerprint TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_attempts PRIMARY KEY (job_id, trial_number, number), 
	CONSTRAINT fk_attempts_trials FOREIGN KEY(job_id, trial_number) REFERENCES trials (job_id, number)
);
INSERT INTO "attempts" VALUES('job-1',0,0,'confirm',3,'complete','{"cores":[[0,1],[2,3]],"gpus":[[0],[]],"gpu_names":{"0":"H100"},"node_types":[]}','local:4711:99','2026-03-01 12:00:03.623456','2026-03-01 12:00:03.873456','{"metrics":{"samples_per_s":65012.5,"step_time_s":0.0157},"intervals":{"samples_per_s":[64000.0,66000.25]},"window_s":12.5,"warmup_s":3.25,"steps":800,"samples":819200.0,"is_stable":false,"is_disturbed":false,"notes":["10 % of the CPU was taken by others"],"stopped":"precise","sources":{},"fingerprint":{}}','{"kind":"out_of_memory","cause":"rank 1 was killed at 7.9 GiB","remedy":"lower micro_batch_size","rank":1,"log_tail":["Traceback (most recent call last):","MemoryError: \"é\""]}','{"wall_s":20.5,"core_s":41.0,"gpu_s":20.5,"usd":"0.25","energy_j":1234.5}','{"torch":"2.13.0","workload":"0123456789abcdef (contents of 2 files)"}');
CREATE TABLE audit_events (
	seq INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	job_id VARCHAR(128), 
	subject TEXT NOT NULL, 
	detail TEXT NOT NULL, evidence TEXT DEFAULT '' NOT NULL, before_hash TEXT DEFAULT '' NOT NULL, after_hash TEXT DEFAULT '' NOT NULL, link VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit_events PRIMARY KEY (seq)
);
INSERT INTO "audit_events" VALUES(1,'2026-03-01 12:00:08.123456','ada','plan.apply','job-1','plan-1','by hand','plan-1','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','3c9e2264f1c191a9cb00ae4b84587761b82ecedbabddd1e99b987dc07968d373');
CREATE TABLE audit_head (
	id INTEGER NOT NULL, 
	num_events INTEGER NOT NULL, 
	link VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit_head PRIMARY KEY (id)
);
INSERT INTO "audit_head" VALUES(1,1,'3c9e2264f1c191a9cb00ae4b84587761b82ecedbabddd1e99b987dc07968d373');
CREATE TABLE controller_lease (
	id INTEGER NOT NULL, 
	holder TEXT, 
	epoch INTEGER NOT NULL, 
	ttl_s DOUBLE NOT NULL, 
	renewed_at DATETIME NOT NULL, 
	boot_id VARCHAR(64) NOT NULL, 
	monotonic_s DOUBLE NOT NULL, 
	CONSTRAINT pk_controller_lease PRIMARY KEY (id)
);
INSERT INTO "controller_lease" VALUES(1,'host/boot/1/2/abcd',1,15.0,'2026-11-24 13:58:21.717756','78695b9e-e676-48b9-9878-9f7887b882bf',32846.425393772);
CREATE TABLE jobs (
	seq INTEGER NOT NULL, 
	id VARCHAR(128) NOT NULL, 
	spec TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	wish VARCHAR(32) NOT NULL, 
	message TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, search_ended TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (seq), 
	CONSTRAINT uq_jobs_id UNIQUE (id)
);
INSERT INTO "jobs" VALUES(1,'job-1','{"name":"dlrm-nightly","workload":{"name":null,"command":["python","train.py","--batch=${micro_batch_size}","naïve ✓"],"args":{},"env":{"OMP_NUM_THREADS":"${threads_per_rank}"},"working_dir":"/srv/dlrm","launch":"once","nproc_per_node":2,"data":[],"log":{"format":"auto","patterns":["(?P<step>\\d+)"],"samples_per_step":"nnodes * 64","files":[]}},"space":{"params":{"micro_batch_size":{"kind":"int","low":64,"high":4096,"step":1,"log":true,"default":128,"when":"nnodes > 0","changes_learning":null,"risks_memory":null},"nnodes":{"kind":"int","low":1,"high":2,"step":1,"log":false,"default":null,"when":null,"changes_learning":false,"risks_memory":null},"learning_rate":{"kind":"float","low":0.001,"high":0.1,"log":true,"default":0.01,"when":null,"changes_learning":null,"risks_memory":null},"shard_strategy":{"kind":"choice","options":["row_wise","table_wise"],"default":"table_wise","when":null,"changes_learning":null,"risks_memory":null},"compile":{"kind":"choice","options":[false,true],"default":null,"when":null,"changes_learning":null,"risks_memory":null},"prefetch":{"kind":"choice","options":[0,2,4.5],"default":null,"when":null,"changes_learning":null,"risks_memory":null}},"constraints":["nnodes * micro_batch_size <= 8192"]},"objectives":[{"metric":"samples_per_s","direction":"maximize","weight":2.0}],"limits":[{"metric":"peak_memory_gib","max":16.0,"min":null},{"metric":"auc","max":null,"min":0.7}],"quality":{"metric":"auc","direction":"maximize","max_loss":0.002},"budget":{"trials":12,"minutes":30.0,"core_hours":null,"gpu_hours":null,"usd":"5.0"},"search":{"method":"bayesian","seed":7,"use_history":true,"parallel_trials":2,"stop_gain_pct":0.1,"horizon_hours":null},"resources":{"executor":"local","cores_per_node":2,"gpus_per_node":0,"memory_limit_gib":8.0,"lease_s":60.0,"purchase":"on_demand","node_type":null},"prices":{"as_of":"2026-02-28","source":"quote","currency":"USD","exchange":null,"per_core_hour":{"on_demand":"0.04","spot":null,"reserved":null},"per_gpu_hour":{},"node_types":{},"per_kwh":null,"pue":"1"},"estimate":null,"measuring":{"precision_pct":3.0,"confirm_precision_pct":1.5,"min_window_s":2.0,"max_window_s":60.0,"max_trial_s":600.0,"startup_s":300.0,"stall_s":60.0,"pause_s":300.0},"apply":{"mode":"auto","target":{"kind":"file","path":"/srv/dlrm/plan.json"},"min_gain_pct":1.0,"pairs":4,"report_pairs":2,"learning_changes":"forbid","guards":[{"metric":"p99_latency_ms","direction":"minimize","max_loss_pct":10.0},{"metric":"error_rate_pct","direction":"minimize","max_loss_pct":0.0}],"headroom_pct":10.0,"canary":{"min_steps":200,"max_s":600.0,"max_loss_pct":3.0,"lease_s":60.0,"pause_s":1800.0},"approvals":0,"max_per_day":3,"cooldown_minutes":60.0,"max_factor":null,"freeze":[],"evidence_hours":24.0}}','searching','pause','trial 3 of 12','2026-03-01 12:00:00.123456','2026-03-01 12:00:01.123456','2026-03-01 12:00:02.123456','nothing is left to try');
CREATE TABLE metric_points (
	seq INTEGER NOT NULL, 
	job_id VARCHAR(128) NOT NULL, 
	trial_number INTEGER NOT NULL, 
	attempt_number INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	t_s DOUBLE NOT NULL, 
	value DOUBLE, source TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_metric_points PRIMARY KEY (seq), 
	CONSTRAINT fk_metric_points_attempts FOREIGN KEY(job_id, trial_number, attempt_number) REFERENCES attempts (job_id, trial_number, number)
);
INSERT INTO "metric_points" VALUES(1,'job-1',0,0,'loss',0.5,0.5,'');
CREATE TABLE plans (
	seq INTEGER NOT NULL, 
	id VARCHAR(128) NOT NULL, 
	job_id VARCHAR(128) NOT NULL, 
	verdict VARCHAR(32) NOT NULL, 
	trial_number INTEGER NOT NULL, 
	params TEXT NOT NULL, 
	baseline_params TEXT NOT NULL, 
	command TEXT NOT NULL, 
	placement TEXT NOT NULL, 
	gain_pct DOUBLE, 
	gain_low_pct DOUBLE, 
	gain_high_pct DOUBLE, 
	pairs TEXT NOT NULL, 
	baseline_metrics TEXT NOT NULL, 
	metrics TEXT NOT NULL, 
	learning_changes TEXT NOT NULL, 
	quality_ok BOOLEAN, 
	search_spend TEXT NOT NULL, 
	payback_samples DOUBLE, 
	payback_s DOUBLE, 
	explanation TEXT NOT NULL, 
	created_at DATETIME NOT NULL, fingerprint TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_plans PRIMARY KEY (seq), 
	CONSTRAINT fk_plans_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT uq_plans_id UNIQUE (id)
);
INSERT INTO "plans" VALUES(1,'plan-1','job-1','better',0,'{"nnodes":2}','{"nnodes":1}','{"argv":["python","-m","workloads.dlrm","--batch=1024"],"env":{"OMP_NUM_THREADS":"1"},"working_dir":"/srv/dlrm","nnodes":2,"nproc_per_node":2,"per_rank":true}','{"cores":[[0,1],[2,3]],"gpus":[[0],[]],"gpu_names":{"0":"H100"},"node_types":[]}',12.5,10.0,15.0,'[{"number":0,"candidate_first":true,"baseline":{"samples_per_s":100.0},"candidate":{"samples_per_s":112.5},"gain_pct":12.5,"decides":true}]','{"samples_per_s":100.0}','{"samples_per_s":112.5}','["learning_rate"]',1,'{"wall_s":20.5,"core_s":41.0,"gpu_s":20.5,"usd":"0.25","energy_j":1234.5}',1000000000.0,3600.0,'["It is 12.5 % faster.","Six pairs agree."]','2026-03-01 12:00:05.123456','{"torch":"2.13.0"}');
CREATE TABLE trials (
	job_id VARCHAR(128) NOT NULL, 
	number INTEGER NOT NULL, 
	params TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT NOT NULL, 
	predicted TEXT NOT NULL, 
	measurement TEXT, 
	failure TEXT, 
	created_at DATETIME NOT NULL, 
	ended_at DATETIME, expected_gain DOUBLE, 
	CONSTRAINT pk_trials PRIMARY KEY (job_id, number), 
	CONSTRAINT fk_trials_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "trials" VALUES('job-1',0,'{"nnodes":2,"learning_rate":1.0,"compile":true,"shard_strategy":"row_wise"}','complete','the baseline','{"samples_per_s":60000.0}','{"metrics":{"samples_per_s":65012.5,"step_time_s":0.0157},"intervals":{"samples_per_s":[64000.0,66000.25]},"window_s":12.5,"warmup_s":3.25,"steps":800,"samples":819200.0,"is_stable":false,"is_disturbed":false,"notes":["10 % of the CPU was taken by others"],"stopped":"precise","sources":{},"fingerprint":{}}','{"kind":"out_of_memory","cause":"rank 1 was killed at 7.9 GiB","remedy":"lower micro_batch_size","rank":1,"log_tail":["Traceback (most recent call last):","MemoryError: \"é\""]}','2026-03-01 12:00:03.123456','2026-03-01 12:00:04.123456',0.0125);
CREATE TABLE trimtab_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT trimtab_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "trimtab_version" VALUES('0006');
CREATE INDEX ix_metric_points_name ON metric_points (job_id, trial_number, name, attempt_number, t_s);
CREATE INDEX ix_plans_job_id ON plans (job_id);
CREATE INDEX ix_applications_job_id ON applications (job_id);
CREATE INDEX ix_applications_plan_id ON applications (plan_id);
CREATE INDEX ix_audit_events_job_id ON audit_events (job_id);
COMMIT;
