-- All that decides whether a project is on somebody's menu, in one place: before it, a project's row has texts of many kilobytes, and
-- who looks for a word that is common has thousands looked at.
CREATE INDEX project_menu ON project (
    term, name, provider, accepting_bureau, level, form, base_credit, restricted_elective, state, published_at
);
