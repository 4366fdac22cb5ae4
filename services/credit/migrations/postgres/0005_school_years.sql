-- A school's standings are found without those of its region.
CREATE INDEX standing_school ON standing (school, year);
