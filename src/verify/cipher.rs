//! What a platform hides of a message in a cipher, opened with the customer's key.
//!
//! Only `read` (behind a signature) and challenges that hold a token ask for it. CBC is malleable: so every way in which
//! a text is not what it should be is the same `None`, and what an answer may tell is whether a *token* was in it.

use aes::Aes256;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use crate::provider::definition::{CipherMode, CipherRule, Encoding, KeyForm};
use crate::provider::{Definition, Settings};
use crate::secret::Secret;

use super::encode;

/// A definition's cipher and the source's key.
#[derive(Debug)]
pub(crate) struct Cipher {
    mode: CipherMode,
    framed: bool,
    /// 32 bytes.
    key: Secret,
}

const BLOCK: usize = 16;
/// PKCS #7 pads to the cipher's block; who frames messages pads them to this (WeChat's kits).
const FRAMED_PADDING: usize = 32;
/// In front of a framed message: random bytes, and its length.
const FRAME: usize = 16 + 4;

/// 43 characters of base64 are two bits more than 32 bytes, and the platform draws them at random.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Cipher {
    /// `None`: the definition has none, or the source gives no key.
    pub fn compile(definition: &Definition, settings: &Settings) -> Result<Option<Self>, String> {
        let rule = definition.body.inner.as_ref().and_then(|inner| inner.cipher.as_ref());
        let Some(rule) = rule else { return Ok(None) };
        if !definition
            .settings
            .get(&rule.key)
            .is_some_and(|setting| setting.credential)
        {
            return Err(format!(
                "body.inner.cipher: its key `{}` is no credential among the settings",
                rule.key
            ));
        }
        if rule.framed && rule.mode == CipherMode::Gcm {
            return Err("body.inner.cipher: `framed` is for CBC".into());
        }
        let Some(given) = settings.credential(&rule.key) else {
            return Ok(None);
        };
        let key = derive(rule, given.expose())
            .ok_or_else(|| format!("setting `{}` is no key of 32 bytes; copy it whole", rule.key))?;
        Ok(Some(Self {
            mode: rule.mode,
            framed: rule.framed,
            key,
        }))
    }

    /// The message in `text` (base64). `None`: it is not one of this key's.
    pub fn open(&self, text: &[u8], nonce: Option<&[u8]>, associated: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = encode::decode(Encoding::Base64, text)?;
        let key = self.key.expose();
        match self.mode {
            CipherMode::Gcm => {
                let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(nonce?).ok()?;
                let length = key.open_in_place(nonce, Aad::from(associated), &mut bytes).ok()?.len();
                bytes.truncate(length);
                Some(bytes)
            }
            CipherMode::CbcKeyIv => self.open_cbc(key.get(..BLOCK)?, bytes),
            CipherMode::CbcLeadingIv => {
                let (iv, rest) = bytes.split_at_checked(BLOCK)?;
                self.open_cbc(iv, rest.to_vec())
            }
        }
    }

    fn open_cbc(&self, iv: &[u8], mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let cbc = cbc::Decryptor::<Aes256>::new_from_slices(self.key.expose(), iv).ok()?;
        cbc.decrypt_padded::<NoPadding>(&mut bytes).ok()?;
        let padding = usize::from(*bytes.last()?);
        let length = bytes.len().checked_sub(padding)?;
        let longest = if self.framed { FRAMED_PADDING } else { BLOCK };
        let is_padding = (1..=longest).contains(&padding);
        if !is_padding || bytes[length..].iter().any(|byte| usize::from(*byte) != padding) {
            return None;
        }
        bytes.truncate(length);
        if !self.framed {
            return Some(bytes);
        }
        let stated = <[u8; 4]>::try_from(bytes.get(FRAME - 4..FRAME)?).ok()?;
        let end = FRAME.checked_add(usize::try_from(u32::from_be_bytes(stated)).ok()?)?;
        bytes.get(FRAME..end).map(<[u8]>::to_vec)
    }
}

fn derive(rule: &CipherRule, text: &[u8]) -> Option<Secret> {
    let bytes = match rule.key_form {
        KeyForm::Text => text.to_vec(),
        KeyForm::Base64 => KEY_TEXT.decode(text).ok()?,
        KeyForm::Sha256 => Sha256::digest(text).to_vec(),
    };
    (bytes.len() == 32).then(|| Secret::new(bytes))
}
