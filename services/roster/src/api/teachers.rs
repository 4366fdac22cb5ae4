//! `TeacherService`; its import and its status events have files of their own.

use chassis::{
    Call, Failure, Faults, Page,
    db::{Queries, Record, Scope, Tx},
};
use jiff::civil::Date;
use proto::{
    Held,
    common::v1::Reason,
    roster::v1::{
        ConfirmCorrectionRequest, ConfirmCorrectionResponse, CreateTeacherRequest, CreateTeacherResponse,
        GetTeacherRequest, GetTeacherResponse, ImportTeachersRequest, ImportTeachersResponse, ListStatusEventsRequest,
        ListStatusEventsResponse, ListTeachersRequest, ListTeachersResponse, RecordStatusEventRequest,
        RecordStatusEventResponse, UpdateTeacherRequest, UpdateTeacherResponse, WithdrawStatusEventRequest,
        WithdrawStatusEventResponse, teacher::Status as TeacherStatus, teacher_service_server::TeacherService,
    },
};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, facts, import, status_events, told, wire};
use crate::{
    domain::{
        correction::{self, Corrected},
        fault::{Defect, Fault, is_coded_reason, is_told_reason},
        field::{Entry, Field},
        identity_number::IdentityNumber,
        organization::{Organization, is_resource_name},
        scope,
        teacher::{Sealed, Teacher, check, check_changes},
    },
    store::{history, organizations, teachers},
};

#[tonic::async_trait]
impl TeacherService for Service {
    async fn create_teacher(
        &self,
        request: Request<CreateTeacherRequest>,
    ) -> Result<Response<CreateTeacherResponse>, Status> {
        chassis::answer(request, |call| create(self, call)).await
    }

    async fn update_teacher(
        &self,
        request: Request<UpdateTeacherRequest>,
    ) -> Result<Response<UpdateTeacherResponse>, Status> {
        chassis::answer(request, |call| update(self, call)).await
    }

    async fn confirm_correction(
        &self,
        request: Request<ConfirmCorrectionRequest>,
    ) -> Result<Response<ConfirmCorrectionResponse>, Status> {
        chassis::answer(request, |call| confirm(self, call)).await
    }

    async fn get_teacher(&self, request: Request<GetTeacherRequest>) -> Result<Response<GetTeacherResponse>, Status> {
        chassis::answer(request, |call| get(self, call)).await
    }

    async fn list_teachers(
        &self,
        request: Request<ListTeachersRequest>,
    ) -> Result<Response<ListTeachersResponse>, Status> {
        chassis::answer(request, |call| list(self, call)).await
    }

    async fn record_status_event(
        &self,
        request: Request<RecordStatusEventRequest>,
    ) -> Result<Response<RecordStatusEventResponse>, Status> {
        chassis::answer(request, |call| status_events::record(self, call)).await
    }

    async fn withdraw_status_event(
        &self,
        request: Request<WithdrawStatusEventRequest>,
    ) -> Result<Response<WithdrawStatusEventResponse>, Status> {
        chassis::answer(request, |call| status_events::withdraw(self, call)).await
    }

    async fn list_status_events(
        &self,
        request: Request<ListStatusEventsRequest>,
    ) -> Result<Response<ListStatusEventsResponse>, Status> {
        chassis::answer(request, |call| status_events::list(self, call)).await
    }

    async fn import_teachers(
        &self,
        request: Request<Streaming<ImportTeachersRequest>>,
    ) -> Result<Response<ImportTeachersResponse>, Status> {
        import::import_teachers(self, request).await
    }
}

/// A teacher and his school.
pub(super) struct Found {
    pub teacher: Teacher,
    pub school: Organization,
}

/// A teacher by name, with his school.
pub(super) async fn find(db: &mut impl Queries, name: &str) -> Result<Found, Failure> {
    let teacher = teachers::find(db, name).await?.ok_or_else(|| Failure::not_found(name))?;
    let school = organizations::find(db, &teacher.school).await?;
    let school = school.ok_or_else(|| Failure::internal("a teacher's school is not there"))?;
    Ok(Found { teacher, school })
}

/// A new teacher from a faultless entry.
pub(super) fn fresh(
    service: &Service,
    name: String,
    school: &str,
    mut entry: Entry,
    today: Date,
) -> Result<Teacher, Failure> {
    let (identity, birth_year) = sealed(service, &name, &mut entry, today)?;
    Ok(Teacher {
        name,
        school: school.to_owned(),
        entry,
        identity,
        birth_year,
        joined_on: Some(today),
        standing: TeacherStatus::Active,
        leaves: Vec::new(),
        stays: Vec::new(),
        coming: Vec::new(),
        pending: Entry::default(),
        account: String::new(),
        version: 1,
        erased: false,
    })
}

/// Takes the identity number out of an entry and seals it.
pub(super) fn sealed(
    service: &Service,
    teacher: &str,
    entry: &mut Entry,
    today: Date,
) -> Result<(Sealed, i16), Failure> {
    let text = entry.remove(Field::IdentityNumber).unwrap_or_default();
    let number = IdentityNumber::parse(&text, today)
        .map_err(|defect| Failure::internal(format!("an unchecked identity number: {}", defect.code())))?;
    Ok((service.vault.seal(teacher, number.text())?, number.born_on().year()))
}

/// Writes a changed teacher over his version before, and tells of it.
pub(super) async fn write(
    tx: &mut Tx,
    teacher: &mut Teacher,
    path: &[String],
    (verb, reason): (&str, &str),
    held: Option<&Held>,
    today: Date,
) -> Result<(), Failure> {
    if teacher.erased {
        return Err(Failure::new(Reason::PersonErased).with("resource", &teacher.name));
    }
    teacher.version = teacher.version.saturating_add(1);
    if teachers::update(tx, std::slice::from_ref(teacher)).await? != 1 {
        return Err(wire::changed(&teacher.name));
    }
    let actor = tx.actor().clone();
    let facts = facts::teacher(teacher, path, today);
    tx.record(Record::of(&teacher.name, verb, &facts).reason(reason).by(&actor, held));
    Ok(())
}

pub async fn create(service: &Service, call: Call<CreateTeacherRequest>) -> Result<CreateTeacherResponse, Failure> {
    let given = call.message.teacher.clone().unwrap_or_default();
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let term = service.term(tx.gates().ok().as_deref(), tx.at())?;
    let mut entry = wire::entry(&given);
    if entry.get(Field::PlatformEnteredOn).is_empty() {
        entry.set(Field::PlatformEnteredOn, term.today.to_string());
    }
    let school = organizations::find(&mut tx, &given.school).await?.filter(Organization::is_school);
    let mut faults = check(&entry, &term.codes, term.today);
    if school.is_none() {
        let defect = if given.school.is_empty() { Defect::Required } else { Defect::NotFound };
        faults.push(Fault::of("school", defect));
    }
    if !given.name.is_empty() && !is_resource_name("teachers", &given.name) {
        faults.push(Fault::of("name", Defect::Malformed));
    }
    let number = entry.get(Field::TeacherNumber);
    if teachers::by_number(&mut tx, &given.school, number).await?.is_some() {
        faults.push(Fault::of(Field::TeacherNumber.name(), Defect::Taken));
    }
    told("teacher.", faults).check()?;
    let Some(school) = school else { return Err(Failure::not_found(&given.school)) };
    let actor = tx.actor().clone();
    let held = scope::keeps(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&school.name))?;

    let name = if given.name.is_empty() { tx.id("teachers") } else { given.name };
    let teacher = fresh(service, name, &school.name, entry, term.today)?;
    identity_is_free(&mut tx, &teacher).await?;
    if teachers::insert(&mut tx, std::slice::from_ref(&teacher)).await? != 1 {
        // Another request was first with the name, the staff number or the person.
        identity_is_free(&mut tx, &teacher).await?;
        return Err(Failure::new(Reason::AlreadyExists).with("resource", &teacher.name));
    }
    let facts = facts::teacher(&teacher, &school.path, term.today);
    tx.record(Record::of(&teacher.name, "created", &facts).by(&actor, Some(held)));
    tx.commit(CreateTeacherResponse { teacher: Some(wire::teacher(&teacher, &service.vault, &actor, term.today)) })
        .await
}

async fn identity_is_free(tx: &mut Tx, teacher: &Teacher) -> Result<(), Failure> {
    match teachers::by_identity(tx, &teacher.identity.index).await? {
        Some(other) if other != teacher.name => Err(Failure::new(Reason::IdentityTaken).with("resource", other)),
        _ => Ok(()),
    }
}

pub async fn update(service: &Service, call: Call<UpdateTeacherRequest>) -> Result<UpdateTeacherResponse, Failure> {
    let given = call.message.teacher.clone().unwrap_or_default();
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let term = service.term(tx.gates().ok().as_deref(), tx.at())?;
    let Found { mut teacher, school } = find(&mut tx, &given.name).await?;
    let actor = tx.actor().clone();
    let kept = scope::keeps(&actor, &school.path);
    // Who keeps the school's roster is still a teacher where it is about himself; a bureau may enter anything.
    let own = scope::is_self(&actor, &teacher.name) && scope::governs(&actor, &school.path).is_none();
    if !own && kept.is_none() {
        return Err(Failure::out_of_scope(&teacher.name));
    }
    wire::check_etag(&given.etag, teacher.version, &teacher.name)?;
    let changes =
        wire::masked_entry(&given, &call.message.update_mask.clone().unwrap_or_default().paths).or_else(|faults| {
            told("", faults).check()?;
            Ok::<_, Failure>(Entry::default())
        })?;

    let mut faults = check_changes(&teacher.entry, &changes, teacher.birth_year, &term.codes, term.today);
    let number = changes.get(Field::TeacherNumber);
    if teachers::by_number(&mut tx, &school.name, number).await?.is_some_and(|other| other != teacher.name) {
        faults.push(Fault::of(Field::TeacherNumber.name(), Defect::Taken));
    }
    let corrected = if own {
        correction::by_teacher(&teacher.entry, &teacher.pending, &changes)
    } else {
        Ok(correction::by_school(&teacher.entry, &teacher.pending, &changes))
    };
    faults.extend(corrected.as_ref().err().cloned().unwrap_or_default());
    told("teacher.", faults).check()?;
    let Ok(Corrected { mut entry, pending }) = corrected else { return Err(Failure::internal("a fault was not told")) };

    if entry.iter().any(|(field, _)| field == Field::IdentityNumber) {
        (teacher.identity, teacher.birth_year) = sealed(service, &teacher.name, &mut entry, term.today)?;
        identity_is_free(&mut tx, &teacher).await?;
    }
    let asked = pending != teacher.pending && !pending.is_empty() && own;
    (teacher.entry, teacher.pending) = (entry, pending);
    let verb = if asked { "correction_requested" } else { "updated" };
    write(&mut tx, &mut teacher, &school.path, (verb, ""), if own { None } else { kept }, term.today).await?;
    tx.commit(UpdateTeacherResponse { teacher: Some(wire::teacher(&teacher, &service.vault, &actor, term.today)) })
        .await
}

pub async fn confirm(
    service: &Service,
    call: Call<ConfirmCorrectionRequest>,
) -> Result<ConfirmCorrectionResponse, Failure> {
    let message = &call.message;
    let mut faults = Faults::new();
    if !is_told_reason(&message.reason) {
        faults.add("reason", Defect::Malformed.zh(), Defect::Malformed.en());
    }
    if !message.accepted {
        // Who is refused learns why.
        faults.required("reason", &message.reason);
    }
    faults.check()?;
    let mut tx = service.db.begin(&call, Scope::AnyTerm).await?;
    let term = service.term(tx.gates().ok().as_deref(), tx.at())?;
    let Found { mut teacher, school } = find(&mut tx, &message.name).await?;
    let actor = tx.actor().clone();
    let kept = scope::keeps(&actor, &school.path).ok_or_else(|| Failure::out_of_scope(&teacher.name))?;
    if scope::is_self(&actor, &teacher.name) {
        return Err(Failure::new(Reason::OwnCorrection).with("resource", &teacher.name));
    }
    if teacher.pending.is_empty() {
        return Err(Failure::state(&teacher.name, "no_correction", "confirm_correction"));
    }
    if message.accepted {
        // The codes may have changed since the teacher entered them.
        let faults = check_changes(&teacher.entry, &teacher.pending, teacher.birth_year, &term.codes, term.today);
        told("teacher.", faults).check()?;
    }
    let policy_version = tx.gates().map_or(0, |gates| gates.policy_version());
    let decision =
        history::Decision { accepted: message.accepted, reason: &message.reason, policy_version, by: &actor.account };
    history::insert_decision(&mut tx, &teacher, decision).await?;
    let Corrected { entry, pending } = correction::decide(&teacher.entry, &teacher.pending, message.accepted);
    (teacher.entry, teacher.pending) = (entry, pending);
    let verb = if message.accepted { "correction_confirmed" } else { "correction_refused" };
    let reason = if is_coded_reason(&message.reason) { message.reason.as_str() } else { "" };
    write(&mut tx, &mut teacher, &school.path, (verb, reason), Some(kept), term.today).await?;
    let teacher = wire::teacher(&teacher, &service.vault, &actor, term.today);
    tx.commit(ConfirmCorrectionResponse { teacher: Some(teacher) }).await
}

pub async fn get(service: &Service, call: Call<GetTeacherRequest>) -> Result<GetTeacherResponse, Failure> {
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let Found { teacher, school } = find(&mut db, &call.message.name).await?;
    if !scope::reads(db.actor(), &teacher.name, &school.path) {
        return Err(Failure::out_of_scope(&teacher.name));
    }
    let today = service.term(db.gates().ok().as_deref(), db.at())?.today;
    Ok(GetTeacherResponse { teacher: Some(wire::teacher(&teacher, &service.vault, db.actor(), today)) })
}

pub async fn list(service: &Service, call: Call<ListTeachersRequest>) -> Result<ListTeachersResponse, Failure> {
    let message = &call.message;
    let query = ListTeachersRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let page = Page::read(message.page_size, &message.page_token, &query)?;
    let Ok(status) = TeacherStatus::try_from(message.status) else {
        told("", [Fault::of("status", Defect::UnknownCode)]).check()?;
        return Ok(ListTeachersResponse::default());
    };
    let mut db = service.db.read(&call, Scope::AnyTerm).await?;
    let actor = db.actor().clone();
    let today = service.term(db.gates().ok().as_deref(), db.at())?.today;
    let under = match message.organization.as_str() {
        "" => organizations::find_all(&mut db, scope::reading_roots(&actor)).await?,
        name => {
            let root = organizations::find(&mut db, name).await?.ok_or_else(|| Failure::not_found(name))?;
            if !scope::reads_under(&actor, &root.path) {
                return Err(Failure::out_of_scope(name));
            }
            vec![root]
        }
    };
    let filter = teachers::Filter {
        under: under.into_iter().map(|root| root.path).collect(),
        query: message.query.clone(),
        stage: message.stage.clone(),
        subject: message.subject.clone(),
        status,
        day: today,
    };
    let found = teachers::list(&mut db, &filter, page.after(), page.ask()).await?;
    let total_size = teachers::count(&mut db, &filter).await?;
    let found = found.iter().map(|teacher| wire::teacher(teacher, &service.vault, &actor, today)).collect();
    let (teachers, next_page_token) = page.cut(found, |last| last.name.clone());
    Ok(ListTeachersResponse { teachers, next_page_token, total_size })
}
