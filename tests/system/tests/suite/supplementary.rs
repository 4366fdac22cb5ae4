//! Supplementary reviews, as after a typhoon: a school whose window runs past the ordinary close keeps what waits there; one that
//! gets its window after the close gets back what expired, and it expires again at the end.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use proto::{
    common::v1::Role,
    enrollment::v1::{
        Decision, ListSelectionsRequest, ReviewSelectionsRequest, Selection,
        review_service_client::ReviewServiceClient, selection::State, selection_service_client::SelectionServiceClient,
    },
    gateway::v1::{
        ListStepsRequest, PutCalendarRequest, ValidateCalendarRequest, calendar_service_client::CalendarServiceClient,
        step::State as StepState, step_service_client::StepServiceClient,
    },
};
use shixun::{
    client::Person,
    people::{County, TermFolder},
    progress::Progress,
    rehearse,
};
use system::{World, raw::Outcome};

const BUREAU: &str = "organizations/county";
/// Nobody's window is longer.
const POLLS: usize = 1200;

struct Stage {
    world: World,
    county: County,
    folder: TermFolder,
    officer: Person,
    calendar: String,
    version: i64,
}

impl Stage {
    /// The county on the last evening of round 1.
    async fn set(engine: &str) -> anyhow::Result<Self> {
        let folder = TermFolder::sample()?;
        let county = County::generate(1, 200, &folder);
        let begin = proto::jiff_instant(rehearse::before_the_term(&folder)?).to_string();
        let world = World::start_for(engine, &begin, &county.password).await?;
        let evening = "2019-09-05T22:00:00+08:00".parse()?;
        let (reach, progress) = (world.system.reach(), Progress::hidden());
        rehearse::play_until(reach, &county, &folder, Some(evening), progress, rehearse::Journal::default()).await?;
        let officer =
            county.staff.iter().find(|staff| staff.role == Role::BureauOfficer && staff.organization == BUREAU);
        let officer = officer.map(|staff| staff.login.clone()).context("no officer")?;
        let gateway = chassis::peer::channel(&world.system.gateway())?;
        let officer = Person::login(&gateway, &officer, &county.password).await?;
        let calendar = folder.calendar.clone();
        Ok(Self { world, county, folder, officer, calendar, version: 1 })
    }

    fn with(&self, id: &str, organization: &str, first_day: &str, last_day: &str) -> String {
        format!(
            "{}\n[[window]]\nid = \"{id}\"\nphase = \"SCHOOL_REVIEW\"\nround = 1\nfirst_day = {first_day}\n\
             last_day = {last_day}\nowners = [\"BUREAU_OFFICER\"]\norganizations = [\"{organization}\"]\n",
            self.calendar
        )
    }

    async fn faults(&self, document: String) -> anyhow::Result<Vec<String>> {
        let request = ValidateCalendarRequest { parent: self.folder.name(), document, policy: String::new() };
        let mut client = CalendarServiceClient::new(self.officer.wire());
        let reply = client.validate_calendar(request).await?.into_inner();
        Ok(reply.faults.into_iter().map(|fault| fault.field).collect())
    }

    async fn put(&mut self, document: String) -> anyhow::Result<()> {
        let request = PutCalendarRequest {
            parent: self.folder.name(),
            document: document.clone(),
            policy: self.folder.policy.clone(),
            reason: "台风".to_owned(),
            follows_version: self.version,
            request_id: format!("put-{}", self.version),
        };
        let mut client = CalendarServiceClient::new(self.officer.wire());
        let reply = client.put_calendar(request).await?.into_inner();
        self.version = reply.calendar.context("no calendar")?.version;
        self.calendar = document;
        Ok(())
    }

    /// Moves the clocks; returns once every step that is due by then is done.
    async fn move_to(&self, at: &str) -> anyhow::Result<()> {
        let at = at.parse::<jiff::Timestamp>()?.as_microsecond();
        self.world.system.advance(at, false).await?;
        let mut open = Vec::new();
        for _ in 0..POLLS {
            self.world.system.catch_up().await?;
            let request =
                ListStepsRequest { parent: self.folder.name(), page_size: 1000, ..ListStepsRequest::default() };
            let steps = StepServiceClient::new(self.officer.wire()).list_steps(request).await?.into_inner().steps;
            open = steps
                .into_iter()
                .filter(|step| step.due.as_ref().is_some_and(|due| proto::instant(due) <= at))
                .filter(|step| !matches!(step.state(), StepState::Done | StepState::Dropped))
                .map(|step| step.name)
                .collect();
            if open.is_empty() {
                return self.world.system.catch_up().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::bail!("steps do not end: {open:?}")
    }

    /// Round 1's selections, by school.
    async fn by_school(&self) -> anyhow::Result<BTreeMap<String, Vec<Selection>>> {
        let mut by_school: BTreeMap<String, Vec<Selection>> = BTreeMap::new();
        let mut page_token = String::new();
        loop {
            let request = ListSelectionsRequest {
                parent: self.folder.name(),
                organization: BUREAU.to_owned(),
                round: 1,
                page_size: 1000,
                page_token,
                ..ListSelectionsRequest::default()
            };
            let mut client = SelectionServiceClient::new(self.officer.wire());
            let reply = client.list_selections(request).await?.into_inner();
            for selection in reply.selections {
                by_school.entry(selection.school.clone()).or_default().push(selection);
            }
            page_token = reply.next_page_token;
            if page_token.is_empty() {
                return Ok(by_school);
            }
        }
    }

    /// How many of a school's selections are submitted, and how many expired unreviewed.
    async fn stand(&self, school: &str) -> anyhow::Result<(usize, usize)> {
        let by_school = self.by_school().await?;
        let count = |fits: &dyn Fn(&Selection) -> bool| {
            by_school.get(school).into_iter().flatten().filter(|one| fits(one)).count()
        };
        let expired = |one: &Selection| one.state() == State::Expired && one.reason == "unreviewed";
        Ok((count(&|one| one.state() == State::Submitted), count(&expired)))
    }

    async fn review(&self, who: &Person, selection: &Selection) -> anyhow::Result<Result<(), Outcome>> {
        let decision =
            Decision { selection: selection.name.clone(), approved: false, reason: "时间冲突".to_owned() };
        let request = ReviewSelectionsRequest {
            parent: self.folder.name(),
            decisions: vec![decision],
            request_id: format!("review-{}", selection.name),
        };
        let reply = ReviewServiceClient::new(who.wire()).review_selections(request).await;
        Ok(reply.map(drop).map_err(Outcome::from))
    }

    /// The logins of those who review for a school.
    fn reviewers(&self, school: &str) -> Vec<&str> {
        let reviews = |roles: &[Role]| roles.contains(&Role::Principal) || roles.contains(&Role::SchoolAdmin);
        let of_school = |person: &&shixun::people::Person| person.teacher.school == school && reviews(&person.roles);
        self.county.teachers.iter().filter(of_school).map(|person| person.login.as_str()).collect()
    }

    async fn reviewer(&self, school: &str) -> anyhow::Result<Person> {
        let gateway = chassis::peer::channel(&self.world.system.gateway())?;
        for login in self.reviewers(school) {
            // One may have left in the course of the play.
            if let Ok(person) = Person::login(&gateway, login, &self.county.password).await {
                return Ok(person);
            }
        }
        anyhow::bail!("{school} has nobody who reviews")
    }
}

async fn after_a_typhoon(engine: &str) -> anyhow::Result<()> {
    let mut stage = Stage::set(engine).await?;
    let waiting: Vec<(usize, String)> = stage
        .by_school()
        .await?
        .into_iter()
        .map(|(school, all)| (all.iter().filter(|one| one.state() == State::Submitted).count(), school))
        .filter(|(count, school)| *count > 1 && !stage.reviewers(school).is_empty())
        .collect();
    let [(prolonged_count, prolonged), (late_count, late), ..] = waiting.as_slice() else {
        anyhow::bail!("fewer than two schools have anything left to review: {waiting:?}")
    };

    // Who cannot hold a reviewer's role, what does not exist, and what is over already, is told before anything is taken.
    for (organization, first, last, fault) in [
        (BUREAU, "2019-09-09", "2019-09-11", "window.more.organizations"),
        ("organizations/none", "2019-09-09", "2019-09-11", "window.more.organizations"),
        (prolonged.as_str(), "2019-09-02", "2019-09-03", "more/closes"),
    ] {
        assert_eq!(
            stage.faults(stage.with("more", organization, first, last)).await?,
            [fault],
            "{organization} {first}"
        );
    }
    let contact =
        "[[contact]]\norganization = \"organizations/none\"\noffice = \"师训科\"\ntelephone = \"000-00000000\"";
    assert_eq!(stage.faults(format!("{}\n{contact}\n", stage.calendar)).await?, ["contact[1].organization"]);
    stage.put(stage.with("prolonged", prolonged, "2019-09-09", "2019-09-11")).await?;
    stage.move_to("2019-09-10T00:00:00+08:00").await?;
    assert_eq!(stage.stand(prolonged).await?, (*prolonged_count, 0), "its review goes on");
    assert_eq!(stage.stand(late).await?, (0, *late_count), "its review is over");

    stage.put(stage.with("late", late, "2019-09-10", "2019-09-10")).await?;
    stage.move_to("2019-09-10T09:00:00+08:00").await?;
    assert_eq!(stage.stand(late).await?, (*late_count, 0), "what expired is back");
    let by_school = stage.by_school().await?;
    let pending =
        |school: &str| by_school.get(school).into_iter().flatten().filter(|one| one.state() == State::Submitted);
    let reviewer = stage.reviewer(late).await?;
    let mut refusals = BTreeSet::new();
    for selection in pending(late) {
        if let Err(refusal) = stage.review(&reviewer, selection).await? {
            // A principal's own: the bureau gets into the school's window in his school's place.
            refusals.insert(refusal.reason);
            stage.review(&stage.officer, selection).await?.map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
        }
        if stage.stand(late).await?.0 == 1 {
            break;
        }
    }
    assert!(
        refusals.is_subset(&["REASON_REVIEWED_BY_BUREAU".to_owned(), "REASON_OWN_SELECTION".to_owned()].into()),
        "{refusals:?}"
    );
    // Without a window for it the officer is refused by the window, with one by the rule of who reviews.
    let theirs = pending(prolonged).next().context("nothing waits")?;
    let refused = stage.review(&stage.officer, theirs).await?;
    assert!(
        refused.as_ref().is_err_and(|refused| refused.reason == "REASON_REVIEWED_BY_SCHOOL") || refused.is_ok(),
        "{refused:?}"
    );

    stage.move_to("2019-09-11T00:00:00+08:00").await?;
    assert_eq!(stage.stand(late).await?.0, 0, "it has settled again");
    assert!(stage.stand(late).await?.1 >= 1, "what nobody reviewed has expired again");
    assert!(stage.stand(prolonged).await?.0 >= 1, "of another school it took nothing");
    stage.move_to("2019-09-12T00:00:00+08:00").await?;
    assert_eq!(stage.stand(prolonged).await?.0, 0);
    stage.world.verify().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_typhoon_on_sqlite() -> anyhow::Result<()> {
    after_a_typhoon("sqlite").await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_typhoon_on_postgres() -> anyhow::Result<()> {
    after_a_typhoon("postgres").await
}
