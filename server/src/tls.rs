//! TLS: rustls with ring, the same on both runtimes.

use crate::autodiscovery::signature;
use crate::config::Tls as TlsFiles;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::sign::SigningKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The server's certificate and key, which can be read again while it runs.
pub struct Certificate {
    files: TlsFiles,
    loaded: Mutex<Arc<Loaded>>,
}

/// What the files hold.
struct Loaded {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, has nothing of its kind, or they do not belong together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Mutex::new(Arc::new(read(&files)?));
        Ok(Self { files, loaded })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As for [`load`](Self::load); what was read before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Arc::new(read(&self.files)?);
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Makes handshakes.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.loaded().config))
    }

    /// The content in a signed message, if the key is of a kind for that.
    #[must_use]
    pub fn sign(&self, content: &[u8]) -> Option<Vec<u8>> {
        let loaded = self.loaded();
        signature::signed(&loaded.chain, &*loaded.key, content)
    }

    fn loaded(&self) -> Arc<Loaded> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&loaded)
    }
}

fn read(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let pem_error = |file: &Path, error: pem::Error| TlsError {
        file: file.to_owned(),
        reason: match error {
            pem::Error::Io(error) => error.to_string(),
            pem::Error::NoItemsFound => "there is no PEM block of the right kind".to_owned(),
            error => error.to_string(),
        },
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(&files.certificate, error))?;
    if chain.is_empty() {
        return Err(pem_error(&files.certificate, pem::Error::NoItemsFound));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem_error(&files.key, error))?;
    let provider = Arc::new(ring::default_provider());
    let unusable = |error| TlsError {
        file: files.certificate.clone(),
        reason: format!("it cannot be used with {}: {error}", files.key.display()),
    };
    let signing = provider.key_provider.load_private_key(key.clone_key());
    let signing = signing.map_err(unusable)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(chain.clone(), key)
        })
        .map_err(unusable)?;
    Ok(Loaded {
        config: Arc::new(config),
        chain,
        key: signing,
    })
}

/// Why certificate and key cannot be used.
#[derive(Debug)]
pub struct TlsError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}
