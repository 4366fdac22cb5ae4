//! Full-text search that finds two-character Chinese words on any database: text becomes tokens, and a project is found
//! where every token of the query is one of its own.
//!
//! A run of Han characters gives its characters and its pairs of neighbours (bigrams), a run of other letters and digits
//! is one word. So 数学 finds 小学数学教师, 学 finds it too, and "stem" finds "STEM 教育". A longer Chinese word is found
//! where all its pairs occur, which for words of real titles means the word itself.

use std::collections::BTreeSet;

use super::Audience;

/// Everything by which a text is found.
#[must_use]
pub fn tokens(text: &str) -> BTreeSet<String> {
    runs(text).into_iter().flat_map(|run| run.grams()).collect()
}

/// What a text must have among its [`tokens`] so that a query finds it: every word of the query.
#[must_use]
pub fn required(query: &str) -> BTreeSet<String> {
    runs(query).into_iter().flat_map(|run| run.longest_grams()).collect()
}

/// A dimension of a project's audience by which the menu is filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// 学段
    Stage,
    /// 学科
    Subject,
    /// 层次
    Tier,
    /// 类别
    Category,
}

impl Dimension {
    const ALL: [Self; 4] = [Self::Stage, Self::Subject, Self::Tier, Self::Category];

    const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Subject => "subject",
            Self::Tier => "tier",
            Self::Category => "category",
        }
    }

    fn of(self, audience: &Audience) -> &[String] {
        match self {
            Self::Stage => &audience.stages,
            Self::Subject => &audience.subjects,
            Self::Tier => &audience.tiers,
            Self::Category => &audience.categories,
        }
    }

    /// The two tokens of which a project that admits `value` has exactly one.
    #[must_use]
    pub fn admitting(self, value: &str) -> [String; 2] {
        [format!("{}={value}", self.word()), self.open()]
    }

    /// The token of a project that admits everyone in this dimension. Text has no token with "=" in it.
    fn open(self) -> String {
        format!("{}=", self.word())
    }
}

/// The tokens by which an audience is found, see [`Dimension::admitting`].
#[must_use]
pub fn audience_tokens(audience: &Audience) -> BTreeSet<String> {
    Dimension::ALL
        .into_iter()
        .flat_map(|dimension| match dimension.of(audience) {
            [] => vec![dimension.open()],
            values => values.iter().map(|value| format!("{}={value}", dimension.word())).collect(),
        })
        .collect()
}

/// Neighbouring characters of one kind.
struct Run {
    han: bool,
    characters: Vec<char>,
}

impl Run {
    fn grams(&self) -> Vec<String> {
        let mut grams = self.longest_grams();
        if self.han {
            grams.extend(self.characters.iter().map(char::to_string));
        }
        grams
    }

    /// The pairs of a run of Han characters, or its only character; the word itself otherwise.
    fn longest_grams(&self) -> Vec<String> {
        if self.han && self.characters.len() > 1 {
            self.characters.windows(2).map(|pair| pair.iter().collect()).collect()
        } else {
            vec![self.characters.iter().collect()]
        }
    }
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    for character in text.chars().map(half_width).flat_map(char::to_lowercase) {
        let han = is_han(character);
        if !han && !character.is_alphanumeric() {
            open = false;
            continue;
        }
        match runs.last_mut() {
            Some(run) if open && run.han == han => run.characters.push(character),
            _ => runs.push(Run { han, characters: vec![character] }),
        }
        open = true;
    }
    runs
}

/// Full-width forms (ＡＢＣ１２３) as what they stand for.
fn half_width(character: char) -> char {
    match character {
        '\u{FF01}'..='\u{FF5E}' => {
            u32::from(character).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(character)
        }
        _ => character,
    }
}

/// Han ideographs: the unified blocks, their extensions and compatibility forms, and 〇.
const fn is_han(character: char) -> bool {
    matches!(character,
        '\u{3007}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{323AF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(query: &str, text: &str) -> bool {
        required(query).is_subset(&tokens(text))
    }

    #[test]
    fn finds_words_of_either_script() {
        let title = "２０１９年小学数学教师STEM教育(高级)研修";
        for query in ["数学", "学", "小学数学教师", "stem", "STEM 数学", "2019", "高级，研修", "", " ？"]
        {
            assert!(finds(query, title), "{query}");
        }
        for query in ["语文", "数字", "数学 语文", "ste", "师数"] {
            assert!(!finds(query, title), "{query}");
        }
    }

    #[test]
    fn an_audience_has_exactly_one_of_the_admitting_tokens() {
        let audience = Audience { stages: vec!["primary".into(), "junior".into()], ..Audience::default() };
        let tokens = audience_tokens(&audience);
        let admits = |dimension: Dimension, value: &str| {
            dimension.admitting(value).iter().filter(|token| tokens.contains(*token)).count()
        };
        assert_eq!(admits(Dimension::Stage, "primary"), 1);
        assert_eq!(admits(Dimension::Stage, "senior"), 0);
        assert_eq!(admits(Dimension::Subject, "math"), 1);
    }

    fn han() -> impl Strategy<Value = char> {
        prop_oneof![4 => proptest::char::range('\u{4E00}', '\u{4EFF}'), 1 => proptest::char::range('\u{20000}', '\u{200FF}')]
    }

    proptest! {
        /// Any two or more neighbouring Han characters of a title find it, whatever else is in it.
        #[test]
        fn any_han_substring_is_found(
            before in ".{0,12}",
            word in prop::collection::vec(han(), 2..12),
            after in ".{0,12}",
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let title = format!("{before}{}{after}", word.iter().collect::<String>());
            let from = cut.0.index(word.len() - 1);
            let len = 2 + cut.1.index(word.len() - from - 1);
            let query: String = word[from..from + len].iter().collect();
            prop_assert!(query.chars().count() >= 2);
            prop_assert!(finds(&query, &title), "{} in {}", query, title);
        }

        /// A pair of Han characters that are not neighbours in the title is not found.
        #[test]
        fn a_pair_is_found_only_where_it_stands(title in prop::collection::vec(han(), 0..30), pair in (han(), han())) {
            let query: String = [pair.0, pair.1].iter().collect();
            let stands = title.windows(2).any(|window| window == [pair.0, pair.1]);
            prop_assert_eq!(finds(&query, &title.iter().collect::<String>()), stands);
        }

        /// Every word must occur: two queries together find what both find.
        #[test]
        fn words_are_joined_by_and(title in ".{0,40}", one in "\\PC{0,6}", other in "\\PC{0,6}") {
            prop_assert_eq!(finds(&format!("{one} {other}"), &title), finds(&one, &title) && finds(&other, &title));
        }

        /// No text gives the tokens of an audience.
        #[test]
        fn text_never_looks_like_an_audience(text in ".{0,60}") {
            prop_assert!(tokens(&text).iter().all(|token| !token.contains('=') && !token.is_empty()));
        }
    }
}
