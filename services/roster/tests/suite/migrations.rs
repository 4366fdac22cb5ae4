//! What was entered under an older schema is there under the newest.

use chassis::{
    db::{Migrations, args},
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
