//! What replies show of personal data.

/// An identity number as every reply shows it: the first 3 and the last 4 characters.
#[must_use]
pub fn identity_number(text: &str) -> String {
    ends(text, 3, 4)
}

/// A telephone number as others than the teacher and his school see it: the first 3 and the last 4 characters.
#[must_use]
pub fn phone(text: &str) -> String {
    ends(text, 3, 4)
}

/// Stars for all but the ends; stars alone where so little is left that the ends would give it away.
fn ends(text: &str, first: usize, last: usize) -> String {
    let length = text.chars().count();
    let shown = if length >= (first + last) * 3 / 2 { (first, length - last) } else { (0, length) };
    text.chars().enumerate().map(|(i, c)| if i < shown.0 || i >= shown.1 { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_ends_only() {
        assert_eq!(identity_number("11010519491231002X"), "110***********002X");
        assert_eq!(phone("13900000000"), "139****0000");
        assert_eq!(phone("8210001"), "*******", "a short number would be given away");
        assert_eq!(phone(""), "");
    }
}
