-- One school's past years are found without the rest of the region: its compliance takes as long in a province as in a county.
CREATE INDEX standing_school ON standing (school, year);
