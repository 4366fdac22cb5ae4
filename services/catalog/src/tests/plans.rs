//! A menu looks at thousands of projects: of none but the page's it reads the row, whose texts are long.

use chassis::{
    db::{Queries as _, args},
    testing,
};

use crate::store::project;

#[tokio::test]
async fn what_matches_is_found_without_any_projects_row() {
    let databases = testing::databases("catalog", crate::migrations, 0).await.unwrap();
    let mut reader = databases.first().unwrap().db.reader();
    let (by_term, by_tokens) = project::PAGE;
    for text in [by_term, by_tokens] {
        // Leaked, for statements are constants everywhere else. What is not bound is NULL, and plans the same.
        let explain: &'static str = format!("EXPLAIN QUERY PLAN {text}").leak();
        let lines = reader.all(explain, args![]).await.unwrap();
        let lines: Vec<String> = lines.iter().map(|line| line.get("detail").unwrap()).collect();
        let of_projects: Vec<_> = lines.iter().filter(|line| line.starts_with("SEARCH p ")).collect();
        let [found, page] = of_projects.as_slice() else { panic!("{lines:#?}") };
        assert!(found.contains("USING COVERING INDEX project_menu (term=?"), "{found}");
        assert!(page.contains("(name=?)"), "{page}");
    }
}
