//! A status event of a day to come: carried out on its day, before anybody is told that the clock has reached it, also by a
//! roster that was away in between.

use anyhow::Context as _;
use jiff::ToSpan as _;
use proto::{
    common::v1::Role,
    roster::v1::{
        GetTeacherRequest, RecordStatusEventRequest, StatusEvent, Teacher, TeacherFacts,
        status_event::{Kind, State},
        teacher::Status,
        teacher_service_client::TeacherServiceClient,
    },
};
use shixun::rehearse::World as RunningWorld;
use tonic::Request;

use crate::county::Stage;

impl Stage {
    /// A call as an officer of the county, through the gateway.
    fn officer<M>(&self, message: M) -> anyhow::Result<Request<M>> {
        let (key, value) = self.person(Role::BureauOfficer)?.context("an officer")?;
        let mut request = chassis::peer::within(std::time::Duration::from_secs(20), message);
        request.metadata_mut().insert(key, value.parse()?);
        Ok(request)
    }

    async fn look_at(&self, teacher: &str) -> anyhow::Result<Teacher> {
        let request = self.officer(GetTeacherRequest { name: teacher.to_owned() })?;
        let reply = TeacherServiceClient::new(self.channel("gateway")?).get_teacher(request).await?;
        reply.into_inner().teacher.context("no teacher")
    }

    /// Records an event that waits.
    async fn announce(&self, teacher: &str, event: StatusEvent) -> anyhow::Result<()> {
        let request_id = format!("{}-{teacher}", event.kind);
        let request = RecordStatusEventRequest { teacher: teacher.to_owned(), event: Some(event), request_id };
        let mut client = TeacherServiceClient::new(self.channel("gateway")?);
        let reply = client.record_status_event(self.officer(request)?).await?.into_inner();
        anyhow::ensure!(reply.event.is_some_and(|event| event.state() == State::Coming), "it waits");
        Ok(())
    }
}

async fn on_its_day(engine: &str) -> anyhow::Result<()> {
    let mut stage = Stage::set(engine, 60, |_| {}).await?;
    let zone = stage.folder.zone.clone();
    let now = RunningWorld::now(stage.world.system.reach()).await?;
    let today = proto::jiff_instant(now).to_zoned_datetime(zone.clone()).date();
    let midnight = |days: i64| {
        let day = today.saturating_add(days.days());
        Ok::<_, anyhow::Error>((day, day.to_zoned_datetime(zone.clone())?.timestamp().as_microsecond()))
    };
    let teacher = stage.teacher()?.teacher.clone();
    let to = stage.county.schools().find(|school| *school != teacher.school).context("a school")?.to_owned();
    let (moves_on, moves_at) = midnight(40)?;
    let (retires_on, retires_at) = midnight(60)?;
    let event = |kind: Kind, on: jiff::civil::Date, school: &str| StatusEvent {
        kind: kind.into(),
        effective_on: Some(on.into()),
        school: school.to_owned(),
        ..StatusEvent::default()
    };
    stage.announce(&teacher.name, event(Kind::Retirement, retires_on, "")).await?;
    stage.announce(&teacher.name, event(Kind::Transfer, moves_on, &to)).await?;

    stage.world.system.advance(moves_at - 1, false).await?;
    let eve = stage.look_at(&teacher.name).await?;
    assert_eq!((&eve.school, eve.status(), eve.coming_events.len()), (&teacher.school, Status::Active, 2));
    stage.world.system.restart("roster").await?;
    stage.world.system.advance(moves_at, false).await?;
    let moved = stage.look_at(&teacher.name).await?;
    assert_eq!((&moved.school, moved.status(), moved.coming_events.len()), (&to, Status::Active, 1));
    stage.world.system.advance(retires_at, false).await?;
    let retired = stage.look_at(&teacher.name).await?;
    assert_eq!((retired.status(), retired.coming_events.len()), (Status::Retired, 0));

    // Once each, at the instant that the clock had.
    let changes = stage.world.system.reach().all_changes().await?;
    let of_teacher = changes.iter().filter(|(service, change)| service == "roster" && change.resource == teacher.name);
    let mut carried_out = Vec::new();
    for (_, change) in of_teacher.filter(|(_, change)| ["transferred", "retired"].contains(&change.verb.as_str())) {
        let facts = chassis::changes::decode::<TeacherFacts>(change)?.context("facts")?;
        carried_out.push((change.verb.as_str(), change.at.as_ref().map(proto::instant), facts.stays.len()));
    }
    assert_eq!(carried_out, [("transferred", Some(moves_at), 3), ("retired", Some(retires_at), 3)]);
    stage.world.system.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_comes_on_its_day() -> anyhow::Result<()> {
    tokio::try_join!(on_its_day("sqlite"), on_its_day("postgres"))?;
    Ok(())
}
