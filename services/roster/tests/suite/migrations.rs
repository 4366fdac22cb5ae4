//! What was entered under an older schema is there under the newest.

use chassis::{
    db::{Migrations, Queries as _, Row, args},
    testing::{self, person},
};
use proto::{
    common::v1::Role,
    roster::v1::{ConfirmCorrectionRequest, teacher_service_server::TeacherService as _},
};

use crate::world::{AT, SCHOOL, World, reply};

/// The schema as it was first.
fn first() -> Migrations {
    let mut migrations = roster::migrations();
    for migrator in [&mut migrations.sqlite, &mut migrations.postgres] {
        migrator.migrations.to_mut().retain(|migration| migration.version == 1);
    }
    migrations
}

#[tokio::test]
async fn a_teacher_of_one_stage_and_subject_has_lists_of_one() {
    for database in testing::databases("roster", first, AT).await.unwrap() {
        let world = World::new(database).await;
        let db = &world.service.db;
        let mut tx = db.begin_own(AT, "old").await.unwrap();
        let sql =
            "INSERT INTO teacher (name, display_name, sex, identity_key, identity_sealed, identity_index, birth_year,
                phone, school, teacher_number, employment, tier, category, stage, subject, title, education, post,
                employed_on, platform_entered_on, joined_on, standing, pending, account, version)
             VALUES ('teachers/old', '示例教师', '2', 'k1', $1, 'i', 1985, '', $2, 'T1', 'permanent', 'competent',
                'subject_teacher', 'primary', 'mathematics', '', '21', 'teaching', '2010-09-01', '2016-09-01',
                '2019-06-17', 'STATUS_ACTIVE', $3, '', 1)";
        let pending = r#"{"stage":"junior","subject":"english","tier":"backbone"}"#;
        tx.execute(sql, args![Vec::<u8>::new(), SCHOOL, pending]).await.unwrap();
        tx.finish().await.unwrap();
        db.migrate(&roster::migrations()).await.unwrap();

        let found = world.get_teacher(&world.admin, "teachers/old").await.unwrap();
        assert_eq!((found.stages, found.subjects), (vec!["primary".to_owned()], vec!["mathematics".to_owned()]));
        assert_eq!(found.pending_fields, ["tier", "stages", "subjects"]);
        assert_eq!(found.principal_appointed_on, None);
        let officer = person("accounts/officer", "", &[(Role::SchoolAdmin, SCHOOL)]);
        let message = ConfirmCorrectionRequest {
            name: "teachers/old".into(),
            accepted: true,
            reason: String::new(),
            request_id: "a".into(),
        };
        let request = world.request("TeacherService/ConfirmCorrection", &officer, message);
        let confirmed = reply(world.service.confirm_correction(request).await).teacher.unwrap();
        assert_eq!((confirmed.stages, confirmed.subjects), (vec!["junior".to_owned()], vec!["english".to_owned()]));
    }
}

/// The schema before stays were kept.
fn before_stays() -> Migrations {
    let mut migrations = roster::migrations();
    for migrator in [&mut migrations.sqlite, &mut migrations.postgres] {
        migrator.migrations.to_mut().retain(|migration| migration.version < 5);
    }
    migrations
}

#[tokio::test]
async fn of_who_moved_before_stays_were_kept_the_last_move_is_known() {
    for database in testing::databases("roster", before_stays, AT).await.unwrap() {
        let world = World::new(database).await;
        let db = &world.service.db;
        let mut tx = db.begin_own(AT, "old").await.unwrap();
        for (name, standing, events) in [
            ("teachers/moved", "STATUS_ACTIVE", &[("KIND_TRANSFER", "2018-09-01"), ("KIND_LEAVE", "2019-01-01")][..]),
            ("teachers/left", "STATUS_RETIRED", &[("KIND_RETIREMENT", "2019-02-01")]),
            ("teachers/rested", "STATUS_ACTIVE", &[("KIND_LEAVE", "2019-01-01"), ("KIND_RETURN", "2019-02-01")]),
        ] {
            let sql =
                "INSERT INTO teacher (name, display_name, sex, identity_key, identity_sealed, identity_index, birth_year,
                    phone, school, teacher_number, employment, tier, category, stages, subjects, title, education, post,
                    employed_on, platform_entered_on, joined_on, standing, pending, account, version)
                 VALUES ($1, '示例教师', '2', 'k1', $2, $1, 1985, '', $3, '', 'permanent', 'competent',
                    'subject_teacher', 'primary', 'mathematics', '', '21', 'teaching', '2010-09-01', '2016-09-01',
                    '2019-06-17', $4, '{}', '', 1)";
            tx.execute(sql, args![name, Vec::<u8>::new(), SCHOOL, standing]).await.unwrap();
            for (kind, day) in events {
                let sql = "INSERT INTO status_event (name, teacher, kind, effective_on, until_on, school, reason, recorded_at,
                        recorded_by)
                     VALUES ($1, $2, $3, $4, '', '', '', 0, '')";
                tx.execute(sql, args![format!("{name}/{kind}"), name, *kind, *day]).await.unwrap();
            }
        }
        tx.finish().await.unwrap();
        db.migrate(&roster::migrations()).await.unwrap();
        let stays = async |name: &str| {
            let sql = "SELECT from_on, standing FROM teacher_stay WHERE teacher = $1";
            let rows = db.reader().all(sql, args![name]).await.unwrap();
            let stay = |row: &Row| (row.get::<String>("from_on").unwrap(), row.get::<String>("standing").unwrap());
            rows.iter().map(stay).collect::<Vec<_>>()
        };
        let one = |day: &str, standing: &str| vec![(day.to_owned(), standing.to_owned())];
        assert_eq!(stays("teachers/moved").await, one("2018-09-01", "STATUS_ACTIVE"));
        assert_eq!(stays("teachers/left").await, one("2019-02-01", "STATUS_RETIRED"));
        assert_eq!(stays("teachers/rested").await, []);
    }
}
