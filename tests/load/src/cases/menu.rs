//! menu: filtered and full-text browsing of 30,000 projects through the gateway, beside the bare query in pgbench.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use catalog::domain::{Audience, search};
use cluster::Cluster;
use proto::catalog::v1::{ListProjectsRequest, ListProjectsResponse};
use sqlx::PgPool;

use crate::{
    bench::{Bench, say},
    cpu,
    database::{Databases, Engine},
    drive::{self, Client, Shot},
    peer,
    table::{Goal, Latency, Outcome, Pair},
    town::Town,
    world::World,
};

const LIST: &str = "shixun.catalog.v1.ProjectService/ListProjects";
const PROJECTS: usize = 30_000;
/// Projects of a page.
const PAGE: i32 = 20;
/// Clients of the peer and callers of ours that are tried.
const AT_ONCE: [usize; 4] = [2, 8, 32, 64];
/// Seconds of a run that only looks for the best number.
const TRIAL: u64 = 2;
/// More requests than are answered in a run.
const MOST: usize = 200_000;
/// Rows of one statement while the menu is filled.
const CHUNK: usize = 2_000;

const STAGES: [(&str, &str); 4] =
    [("primary", "小学"), ("junior", "初中"), ("senior", "高中"), ("preschool", "幼儿园")];
const SUBJECTS: [(&str, &str); 10] = [
    ("chinese", "语文"),
    ("math", "数学"),
    ("english", "英语"),
    ("physics", "物理"),
    ("chemistry", "化学"),
    ("biology", "生物"),
    ("history", "历史"),
    ("geography", "地理"),
    ("music", "音乐"),
    ("art", "美术"),
];
const THEMES: [&str; 12] = [
    "核心素养导向的课堂教学",
    "大单元教学设计",
    "作业设计与评价",
    "信息技术应用能力提升",
    "班主任工作艺术",
    "心理健康教育",
    "师德师风专题",
    "项目式学习实践",
    "跨学科主题教学",
    "教育科研方法",
    "新课程标准解读",
    "命题与考试评价",
];

/// What is browsed for.
#[derive(Debug, Clone, Copy)]
enum Browse {
    /// By subject and level.
    Filter,
    /// By a word of the title.
    Text,
}

impl Browse {
    const fn case(self) -> &'static str {
        match self {
            Self::Filter => "menu-filter",
            Self::Text => "menu-text",
        }
    }

    /// The different requests of it.
    fn requests(self, town: &Town) -> Vec<ListProjectsRequest> {
        let base = ListProjectsRequest { parent: town.term.clone(), page_size: PAGE, ..Default::default() };
        match self {
            Self::Filter => (0..SUBJECTS.len())
                .map(|n| ListProjectsRequest {
                    subject: SUBJECTS.get(n).map(|(code, _)| (*code).to_owned()).unwrap_or_default(),
                    level: 1 + i32::try_from(n % 3).unwrap_or_default(),
                    ..base.clone()
                })
                .collect(),
            Self::Text => {
                let words = SUBJECTS.iter().map(|(_, word)| *word).chain(["作业设计", "心理健康", "评价"]);
                words.map(|word| ListProjectsRequest { query: word.to_owned(), ..base.clone() }).collect()
            }
        }
    }

    /// The statements that a hand-written menu would answer the same request with: how many there are, and the page.
    fn bare(self, request: &ListProjectsRequest) -> [String; 2] {
        let term = &request.parent;
        let tokens: Vec<String> = match self {
            Self::Filter => vec![format!("subject={}", request.subject), "subject=".to_owned()],
            Self::Text => search::required(&request.query).into_iter().collect(),
        };
        let count = if matches!(self, Self::Filter) { 1 } else { tokens.len() };
        let tokens: Vec<String> = tokens.iter().map(|token| format!("'{token}'")).collect();
        let level = ["", "province", "city", "county"].get(usize::try_from(request.level).unwrap_or_default());
        let level = level.filter(|level| !level.is_empty()).map(|level| format!("AND p.level = '{level}'"));
        let matching = format!(
            "WHERE p.term = '{term}' AND p.published_at IS NOT NULL {} AND p.name IN (
                SELECT t.project FROM project_token t WHERE t.term = '{term}' AND t.token IN ({})
                GROUP BY t.project HAVING COUNT(*) = {count})",
            level.unwrap_or_default(),
            tokens.join(", ")
        );
        [
            format!("SELECT COUNT(*) FROM project p {matching}"),
            format!(
                "SELECT p.name, p.title, p.description, p.level, p.form, p.audience, p.base_credit, p.difficulty_percent,
                    p.restricted_elective, p.total_hours, p.classes, p.allocations, p.state, p.published_at
                 FROM project p {matching} ORDER BY p.name LIMIT {PAGE}"
            ),
        ]
    }
}

/// Peer and ours in turn, by filters and by words.
///
/// # Errors
/// If something cannot be started, or fails other than in what is measured.
pub async fn run(bench: &mut Bench) -> anyhow::Result<Vec<Outcome>> {
    let folder = bench.programs().scratch()?;
    let (mut world, town) = bench.small_town().await?;
    world.start().await?;
    say(&format!("putting {PROJECTS} projects on the menu"));
    fill(&world).await?;
    let Databases::Postgres(cluster) = world.databases() else { anyhow::bail!("not on PostgreSQL") };
    // What autovacuum does after a bulk load.
    for table in ["project", "project_token"] {
        cluster.sql_in("live_catalog", &format!("VACUUM ANALYZE {table}"))?;
    }
    let client = Client::connect(world.gateway()?, bench.options.connections).await?;
    let mut outcomes = Vec::new();
    for browse in [Browse::Filter, Browse::Text] {
        let requests = browse.requests(&town);
        let mut outcome = Outcome::of(browse.case(), Engine::Postgres, "1/s", Goal::AtLeast(0.5));
        let found = compare(cluster, &client, &town, &world, browse, &requests, &mut outcome).await?;
        let shots = Arc::new(shots(&town, &world, &requests)?);
        let scripts: Vec<String> =
            requests.iter().map(|request| browse.bare(request).map(|sql| flat(&sql)).join(";\n") + ";\n").collect();
        let theirs = |clients, seconds| {
            tokio::task::block_in_place(|| peer::bare(cluster, &folder, "live_catalog", &scripts, clients, seconds))
        };
        let (mut clients, mut callers) = ((0.0, 1), (0.0, 1));
        for number in AT_ONCE {
            let (run, _) = theirs(number, TRIAL)?;
            let volley = client.closed(&shots, number, Duration::from_secs(TRIAL)).await?;
            clients = if run.rate > clients.0 { (run.rate, number) } else { clients };
            callers = if volley.rate() > callers.0 { (volley.rate(), number) } else { callers };
        }
        let mut latency = drive::histogram()?;
        let mut answered = 0;
        for n in 1..=bench.options.runs {
            let mut meter = cpu::Meter::default();
            meter.add("postgres", world.server()?);
            let before = meter.read()?;
            let (run, _) = theirs(clients.1, bench.options.seconds)?;
            let mut peer_cpu = cpu::between(&before, &meter.read()?);
            peer_cpu.insert("pgbench".to_owned(), run.cpu);
            let meter = world.meter()?;
            let before = meter.read()?;
            let volley = client.closed(&shots, callers.1, Duration::from_secs(bench.options.seconds)).await?;
            let cpu = cpu::between(&before, &meter.read()?);
            let failed = volley.answers.iter().filter(|(_, answer)| answer.decode::<ListProjectsResponse>().is_err());
            let failed = failed.count();
            if failed > 0 {
                outcome.faults.push(format!("run {n}: {failed} were refused an answer"));
            }
            let (peer, ours) = (run.rate, volley.rate());
            say(&format!("{} run {n}: peer {peer:.0}/s, ours {ours:.0}/s", browse.case()));
            latency.add(&volley.latency)?;
            answered += volley.answers.len();
            outcome.pairs.push(Pair { peer, ours, cpu, peer_cpu });
        }
        outcome.latency = Some(Latency::from(&latency));
        outcome.counted = format!("{answered} pages");
        outcome.notes.push(format!(
            "peer: pgbench, {} clients, the count and a page of {PAGE} by the same tables and indexes; ours: {} callers; \
             {} different requests, each answered as by the bare query, with {found} projects on average",
            clients.1,
            callers.1,
            requests.len()
        ));
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Statements of pgbench end with their line.
fn flat(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shots(town: &Town, world: &World, requests: &[ListProjectsRequest]) -> anyhow::Result<Vec<Shot>> {
    let gateway = world.gateway()?;
    let pairs = town.teachers.iter().flat_map(|teacher| requests.iter().map(move |request| (teacher, request)));
    let all = pairs.map(|(teacher, request)| Shot::new(gateway, LIST, &teacher.token, request));
    let all = all.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(all.iter().cycle().take(MOST).cloned().collect())
}

/// Holds each answer against the bare query's. Returns how many projects one finds on average.
async fn compare(
    cluster: &Cluster,
    client: &Client,
    town: &Town,
    world: &World,
    browse: Browse,
    requests: &[ListProjectsRequest],
    outcome: &mut Outcome,
) -> anyhow::Result<i64> {
    let teacher = town.teachers.first().context("nobody browses")?;
    let shots = requests.iter().map(|request| Shot::new(world.gateway()?, LIST, &teacher.token, request));
    let shots = Arc::new(shots.collect::<anyhow::Result<Vec<_>>>()?);
    let volley = client.closed(&shots, 1, Duration::MAX).await?;
    let mut sum = 0;
    for (index, answer) in &volley.answers {
        let reply: ListProjectsResponse = answer.decode()?;
        let request = requests.get(*index).context("an answer without a request")?;
        let [count, page] = browse.bare(request);
        let count: i64 = cluster.sql_in("live_catalog", &count)?.parse()?;
        let names = cluster.sql_in("live_catalog", &format!("SELECT name FROM ({page}) AS page ORDER BY name"))?;
        if count != reply.total_size || !names.lines().eq(reply.projects.iter().map(|project| &project.name)) {
            outcome.faults.push(format!("request {index}: {} projects instead of {count}", reply.total_size));
        }
        anyhow::ensure!(count > 0, "request {index} finds nothing");
        sum += count;
    }
    Ok(sum / i64::try_from(volley.answers.len().max(1))?)
}

/// Puts projects straight into the catalog: each is a published one with another title and audience.
async fn fill(world: &World) -> anyhow::Result<()> {
    let pool = PgPool::connect(&world.databases().url("catalog")).await?;
    let (model, term): (String, String) =
        sqlx::query_as("SELECT name, term FROM project WHERE published_at IS NOT NULL ORDER BY name LIMIT 1")
            .fetch_one(&pool)
            .await?;
    for first in (0..PROJECTS).step_by(CHUNK) {
        let [mut names, mut titles, mut audiences, mut levels] = [const { Vec::new() }; 4];
        let (mut tokens, mut owners) = (Vec::new(), Vec::new());
        for n in first..(first + CHUNK).min(PROJECTS) {
            let (stage, stage_word) = *STAGES.get(n / 7 % STAGES.len()).context("a stage")?;
            let (subject, subject_word) = *SUBJECTS.get(n % SUBJECTS.len()).context("a subject")?;
            let theme = THEMES.get(n / 11 % THEMES.len()).context("a theme")?;
            let title = format!("{stage_word}{subject_word}教师{theme}研修班{n:05}");
            let audience =
                Audience { stages: vec![stage.to_owned()], subjects: vec![subject.to_owned()], ..Audience::default() };
            let name = format!("{term}/projects/menu-{n:05}");
            let found_by = search::tokens(&title).into_iter().chain(search::audience_tokens(&audience));
            for token in found_by {
                tokens.push(token);
                owners.push(name.clone());
            }
            audiences.push(serde_json::to_string(&audience)?);
            levels.push(["province", "city", "county"].get(n / 3 % 3).copied().unwrap_or_default().to_owned());
            names.push(name);
            titles.push(title);
        }
        let inserted = sqlx::query(
            "INSERT INTO project SELECT u.name, m.term, m.provider, m.accepting_bureau, u.title, u.title, u.level, m.form,
                u.audience, m.base_credit, m.difficulty_percent, m.restricted_elective, m.ethics_hours, m.total_hours,
                m.classes, m.allocations, m.state, m.decision_reason, m.cancellation_requested, m.cancellation_reason,
                m.published_at, m.revision, m.practice_hours
             FROM project m, UNNEST($2::text[], $3::text[], $4::text[], $5::text[]) AS u (name, title, level, audience)
             WHERE m.name = $1",
        )
        .bind(&model)
        .bind(names)
        .bind(titles)
        .bind(levels)
        .bind(audiences)
        .execute(&pool)
        .await?;
        anyhow::ensure!(inserted.rows_affected() > 0, "no project was put on the menu");
        sqlx::query(
            "INSERT INTO project_token (term, token, project)
             SELECT $1, u.token, u.project FROM UNNEST($2::text[], $3::text[]) AS u (token, project)",
        )
        .bind(&term)
        .bind(tokens)
        .bind(owners)
        .execute(&pool)
        .await?;
    }
    pool.close().await;
    Ok(())
}
