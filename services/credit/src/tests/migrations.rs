//! What was mirrored under an older schema is there under the newest.

use chassis::db::{Migrations, Rows, args};

use super::*;
use crate::store::teachers;

/// The schema as it was first.
fn first() -> Migrations {
    let mut migrations = crate::migrations();
    for migrator in [&mut migrations.sqlite, &mut migrations.postgres] {
        migrator.migrations.to_mut().retain(|migration| migration.version == 1);
    }
    migrations
}

#[tokio::test]
async fn a_teacher_of_one_stage_and_no_subject() {
    for database in databases("credit", first, at("2019-06-17")).await.unwrap() {
        let db = &database.db;
        let mut tx = db.begin_own(0, "old").await.unwrap();
        let sql =
            "INSERT INTO teacher (name, school, tier, category, stage, subject, employment, entered_on, employed_on,
                joined_on, leaves)
             VALUES ('teachers/1', $1, 'novice', 'subject_teacher', 'primary', '', 'permanent', '2016-09-01', '', '',
                '[]')";
        tx.execute(sql, args![SCHOOL_1]).await.unwrap();
        tx.finish().await.unwrap();
        db.migrate(&crate::migrations()).await.unwrap();
        let kept = teachers::load(&mut db.reader(), &Rows::texts(["teachers/1"])).await.unwrap();
        let teacher = &kept["teachers/1"].teacher;
        assert_eq!(
            (teacher.profile.stages.as_slice(), teacher.profile.subjects.len()),
            (&["primary".to_owned()][..], 0)
        );
        assert_eq!(teacher.principal_appointed_on, None);
    }
}
