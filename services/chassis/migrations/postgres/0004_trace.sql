-- Of the call that made a batch (W3C traceparent); '' where nobody traces.
ALTER TABLE change_batch ADD COLUMN trace TEXT COLLATE "C" NOT NULL DEFAULT '';
