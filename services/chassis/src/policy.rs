//! The term's policy, as one service reads it: each service parses and checks its own sections of the document.

/// A fault of a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// "section.key"
    pub key: String,
    /// The remedy in Chinese.
    pub zh: String,
    /// The remedy in English.
    pub en: String,
}

/// A service's sections of the policy. Sections of other services are passed over.
pub trait Policy: Sized + Send + Sync + 'static {
    /// Reads and checks the service's sections.
    ///
    /// # Errors
    /// Every fault at once.
    fn parse(document: &toml::Table) -> Result<Self, Vec<PolicyFault>>;
}

/// Reads one section with serde, noting what is wrong with it. An absent section is its default.
pub fn section<T: serde::de::DeserializeOwned + Default>(
    document: &toml::Table,
    name: &str,
    faults: &mut Vec<PolicyFault>,
) -> T {
    let Some(value) = document.get(name) else {
        return T::default();
    };
    value.clone().try_into().unwrap_or_else(|error: toml::de::Error| {
        let message = error.message().to_owned();
        faults.push(PolicyFault { key: name.to_owned(), zh: format!("无法读取：{message}"), en: message });
        T::default()
    })
}
