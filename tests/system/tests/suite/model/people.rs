//! What happens to teachers, and whom the bureau lets into round 2.

use jiff::civil::date;
use proto::{
    common::v1::{WaitMirrorRequest, gate_service_client::GateServiceClient},
    enrollment::v1::{self as enrollment, selection::State},
    roster::v1::{self as roster, status_event::Kind},
};
use system::model::{Against, Event};

use super::{Play, attempt::Act, encode};

impl Play {
    /// Something happens to a teacher; the enrollment learns of it.
    pub(super) async fn happen(&mut self) -> anyhow::Result<()> {
        let dice = self.any(100);
        let mut teacher = self.any(self.teachers.len());
        if (60..90).contains(&dice) {
            // Most often somebody who can come back.
            let today = self.model.today;
            let back = |teacher: &usize| {
                let person = &self.model.people[*teacher];
                person.gone.is_some() || person.is_away(today)
            };
            let back: Vec<usize> = (0..self.teachers.len()).filter(back).collect();
            if !back.is_empty() && self.chance(80) {
                teacher = back[self.any(back.len())];
            }
        }
        let (event, kind, counted) = match dice {
            0..30 => {
                let school = self.model.people[teacher].school;
                let other = (school + 1 + self.any(self.schools.len() - 1)) % self.schools.len();
                (Event::Transfer(other), Kind::Transfer, "transfer")
            }
            30..60 => {
                // Over between two windows, or when some of the classes have met.
                let ends = [date(2019, 9, 14), date(2019, 10, 11), date(2019, 10, 14), date(2019, 10, 31)];
                let ends: Vec<_> = ends.into_iter().filter(|last| *last >= self.model.today).collect();
                (Event::Leave(ends[self.any(ends.len())]), Kind::Leave, "leave")
            }
            60..90 => (Event::Return, Kind::Return, "return"),
            _ => (Event::Retirement, Kind::Retirement, "retirement"),
        };
        let (mut school, mut until) = (String::new(), None);
        match event {
            Event::Transfer(to) => school = self.schools[to].0.clone(),
            Event::Leave(last) => until = Some(last.into()),
            _ => {}
        }
        let status_event = roster::StatusEvent {
            kind: kind.into(),
            effective_on: Some(self.model.today.into()),
            reason: "model".to_owned(),
            school,
            until,
            ..Default::default()
        };
        let request = roster::RecordStatusEventRequest {
            teacher: self.teachers[teacher].name.clone(),
            event: Some(status_event),
            request_id: format!("act-{}", self.acts),
        };
        let act = Act {
            kind: counted,
            service: Some("roster"),
            header: self.bureau.clone(),
            path: "/shixun.roster.v1.TeacherService/RecordStatusEvent",
            message: encode(&request),
            other: None,
        };
        let was = self.model.people[teacher].clone();
        let before = self.standing();
        let against = self.model.happens(teacher, event);
        self.attempt(act, &against, &format!("teacher {teacher}: {event:?} of {was:?}")).await?;
        if against.is_empty() {
            let position = self.heads["roster"];
            let request = WaitMirrorRequest { source: "roster".to_owned(), position };
            let mut enrollment = GateServiceClient::new(self.stage.world.system.peer("enrollment")?);
            enrollment.wait_mirror(chassis::peer::within(std::time::Duration::from_secs(10), request)).await?;
            // What follows for his selections is one batch of the enrollment's.
            let followed = i64::from(before != self.standing());
            if let Some(head) = self.heads.get_mut("enrollment") {
                *head += followed;
            }
        }
        Ok(())
    }

    /// State and school of all selections.
    fn standing(&self) -> Vec<(State, usize)> {
        self.model.rows.iter().map(|row| (row.state, row.school)).collect()
    }

    /// The bureau lets somebody into round 2.
    pub(super) async fn let_in(&mut self) -> anyhow::Result<()> {
        let teacher = self.any(self.teachers.len());
        let request = enrollment::GrantOverrideRequest {
            parent: self.stage.term.clone(),
            teacher: self.teachers[teacher].name.clone(),
            round: 2,
            reason: "理由".to_owned(),
            request_id: format!("act-{}", self.acts),
        };
        let other = enrollment::GrantOverrideRequest { reason: "别的".to_owned(), ..request.clone() };
        let act = Act {
            kind: "override",
            service: Some("enrollment"),
            header: self.bureau.clone(),
            path: "/shixun.enrollment.v1.ReviewService/GrantOverride",
            message: encode(&request),
            other: Some(encode(&other)),
        };
        self.model.let_in(teacher);
        self.attempt(act, &Against::new(), &format!("teacher {teacher}")).await?;
        Ok(())
    }
}
