//! An authority of a test, and the certificates that it gives.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Gives certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Files of a process's certificate, as a mounted secret has them.
#[derive(Debug, Clone)]
pub struct Certified {
    /// `tls.crt`.
    pub certificate: PathBuf,
    /// `tls.key`.
    pub key: PathBuf,
    /// `ca.crt`.
    pub authorities: PathBuf,
}

impl Authority {
    /// A new one, which nobody believes yet.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::new([])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?))
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Puts a new certificate for `name` into `folder`, for a process that believes this authority.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn certify(&self, name: &str, folder: &Path) -> anyhow::Result<Certified> {
        self.certify_until(name, 2100, folder)
    }

    /// The same, until the beginning of a year.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn certify_until(&self, name: &str, year: i32, folder: &Path) -> anyhow::Result<Certified> {
        let mut parameters = CertificateParams::new([name.to_owned()])?;
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.0)?;
        std::fs::create_dir_all(folder)?;
        let put = |file: &str, text: String| {
            let path = folder.join(file);
            std::fs::write(&path, text).map(|()| path)
        };
        Ok(Certified {
            certificate: put("tls.crt", certificate.pem())?,
            key: put("tls.key", key.serialize_pem())?,
            authorities: put("ca.crt", self.pem())?,
        })
    }

    /// The list of those of its certificates that are revoked (PEM).
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn revoke(&self, revoked: &[&Certified]) -> anyhow::Result<String> {
        let entry = |certified: &&Certified| {
            let certificate = CertificateDer::from_pem_file(&certified.certificate)?;
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(webpki::EndEntityCert::try_from(&certificate)?.serial()),
                revocation_time: date_time_ymd(2019, 8, 26),
                reason_code: None,
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2019, 8, 26),
            next_update: date_time_ymd(2019, 8, 27),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<anyhow::Result<_>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.0)?.pem()?)
    }
}
