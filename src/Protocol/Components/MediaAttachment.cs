using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Platform.Native;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Components;

/// <summary>Where a blob may be fetched.</summary>
/// <param name="Kind">The kind; those one does not know are skipped.</param>
/// <param name="Value">What it means depends on the kind; a URL for <see cref="MediaPolicy.Blossom"/>.</param>
public readonly record struct MediaLocator(string Kind, string Value);

/// <summary>An <c>imeta</c> tag of encrypted-media-v2: an encrypted file in a group message.</summary>
/// <remarks>
/// Secret = MLS-Exporter("marmot", "encrypted-media", 32) of the state the message is made in, kept as long as the message. Key = HKDF-Expand-SHA256(secret,
/// context | 00 | "key"), no Extract; context = "encrypted-media-v2" | 00 | SHA-256(file) | 00 | media type | 00 | file name, also the associated data;
/// ChaCha20-Poly1305. A tag that breaks a rule means: this attachment is not shown, others are. Immutable and thread-safe.
/// </remarks>
public sealed record MediaAttachment
{
    /// <summary>Longest file name in bytes.</summary>
    public const int MaxFilenameSize = 255;

    /// <summary>Largest file in bytes: 512 MiB less the tag.</summary>
    public const int MaxFileSize = (512 * 1024 * 1024) - Sodium.TagSize;

    /// <summary>Where the blob lies; at least one.</summary>
    public required IReadOnlyList<MediaLocator> Locators { get; init; }

    /// <summary>SHA-256 of the blob.</summary>
    public required Bytes32 CiphertextHash { get; init; }

    /// <summary>SHA-256 of the file.</summary>
    public required Bytes32 PlaintextHash { get; init; }

    /// <summary>12 bytes.</summary>
    public required byte[] Nonce { get; init; }

    /// <summary>Canonical media type, see <see cref="MediaType"/>.</summary>
    public required string MimeType { get; init; }

    /// <summary>Exact file name, 1 to <see cref="MaxFilenameSize"/> bytes, no NUL.</summary>
    public required string Filename { get; init; }

    /// <summary>Width and height; null when absent, perhaps empty.</summary>
    public string? Dimensions { get; init; }

    /// <summary>Placeholder picture; null when absent, perhaps empty.</summary>
    public string? Thumbhash { get; init; }

    /// <summary>Encrypts a file under the current state's secret.</summary>
    /// <param name="mediaSecret">Media secret of the state that the message will be made in, 32 bytes; when the state changes before it is sent, encrypt
    /// anew.</param>
    /// <param name="file">1 to <see cref="MaxFileSize"/> bytes.</param>
    /// <param name="mediaType">In any spelling.</param>
    /// <param name="filename">The name.</param>
    /// <param name="toUrl">Gives the Blossom URL for a blob's SHA-256.</param>
    /// <param name="blob">What to upload.</param>
    /// <exception cref="ArgumentException">The type, the name or the size breaks its rule.</exception>
    public static MediaAttachment Encrypt(ReadOnlySpan<byte> mediaSecret, ReadOnlySpan<byte> file, string mediaType, string filename,
        Func<Bytes32, string> toUrl, out byte[] blob)
    {
        if (file.Length is 0 or > MaxFileSize || !MediaType.TryMakeCanonical(mediaType, out string? canonical) || !IsFilename(filename))
        {
            throw new ArgumentException("the file, its media type or its name cannot be sent", nameof(file));
        }

        var attachment = new MediaAttachment
        {
            Locators = [],
            CiphertextHash = default,
            PlaintextHash = new Bytes32(SHA256.HashData(file)),
            Nonce = RandomNumberGenerator.GetBytes(Sodium.NonceSize),
            MimeType = canonical,
            Filename = filename,
        };
        blob = attachment.Seal(mediaSecret, file);
        var hash = new Bytes32(SHA256.HashData(blob));
        return attachment with { CiphertextHash = hash, Locators = [new MediaLocator(MediaPolicy.Blossom, toUrl(hash))] };
    }

    /// <summary>Checks the blob's hash, opens it, checks the file's hash; stops at the first that fails.</summary>
    /// <param name="mediaSecret">Media secret of the state the message was made in, 32 bytes.</param>
    /// <param name="blob">What was fetched.</param>
    /// <param name="file">The file.</param>
    public bool TryDecrypt(ReadOnlySpan<byte> mediaSecret, ReadOnlySpan<byte> blob, [NotNullWhen(true)] out byte[]? file)
    {
        file = null;
        if (blob.Length < Sodium.TagSize || new Bytes32(SHA256.HashData(blob)) != CiphertextHash)
        {
            return false;
        }

        Span<byte> key = stackalloc byte[Sodium.KeySize];
        byte[] context = Context();
        DeriveKey(mediaSecret, context, key);
        byte[] opened = new byte[blob.Length - Sodium.TagSize];
        if (Sodium.ChaCha20Poly1305Decrypt(key, Nonce, context, blob, opened) && new Bytes32(SHA256.HashData(opened)) == PlaintextHash)
        {
            file = opened;
        }

        CryptographicOperations.ZeroMemory(key);
        return file is not null;
    }

    /// <summary>
    /// The URLs to try in order: own Blossom locators whose path names the blob, then the policy's endpoints. https and no loopback host only; that a name does
    /// not lead to a private address is for whoever connects.
    /// </summary>
    public IEnumerable<string> FetchUrls(MediaPolicy policy)
    {
        string hash = CiphertextHash.ToString();
        var own = policy.Kinds.Contains(MediaPolicy.Blossom)
            ? Locators.Where(one => one.Kind == MediaPolicy.Blossom).Select(one => one.Value)
                .Where(url => new Uri(url).AbsolutePath.Contains(hash, StringComparison.Ordinal))
            : [];
        var defaults = policy.Endpoints.Where(one => one.Kind == MediaPolicy.Blossom).Select(one => $"{one.BaseUrl.TrimEnd('/')}/{hash}");
        return own.Concat(defaults).Where(IsFetchable).Distinct(StringComparer.Ordinal);
    }

    /// <summary>Reads a tag; each field is split at its first blank, their order is free, unknown fields are skipped.</summary>
    public static bool TryParse(IReadOnlyList<string> tag, [NotNullWhen(true)] out MediaAttachment? attachment, out RejectReason reason)
    {
        attachment = null;
        string? fault = Parse(tag, ref attachment);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>The tag, fields in the order MDK writes them.</summary>
    public string[] ToTag()
    {
        List<string> tag = ["imeta", $"v {MediaPolicy.Format}", .. Locators.Select(one => $"locator {one.Kind} {one.Value}")];
        tag.AddRange([
            $"ciphertext_sha256 {CiphertextHash}", $"plaintext_sha256 {PlaintextHash}", $"nonce {Convert.ToHexStringLower(Nonce)}", $"m {MimeType}",
            $"filename {Filename}"
        ]);
        if (Dimensions is not null)
        {
            tag.Add($"dim {Dimensions}");
        }

        if (Thumbhash is not null)
        {
            tag.Add($"thumbhash {Thumbhash}");
        }

        return [.. tag];
    }

    internal byte[] Seal(ReadOnlySpan<byte> mediaSecret, ReadOnlySpan<byte> file)
    {
        Span<byte> key = stackalloc byte[Sodium.KeySize];
        byte[] context = Context();
        DeriveKey(mediaSecret, context, key);
        byte[] blob = new byte[file.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(key, Nonce, context, file, blob);
        CryptographicOperations.ZeroMemory(key);
        return blob;
    }

    internal static void DeriveKey(ReadOnlySpan<byte> mediaSecret, byte[] context, Span<byte> key) =>
        HkdfSha256.Expand(mediaSecret, (byte[])[.. context, 0, .. "key"u8], key);

    internal byte[] Context() =>
    [
        .. System.Text.Encoding.UTF8.GetBytes(MediaPolicy.Format), 0, .. PlaintextHash.Span, 0, .. System.Text.Encoding.UTF8.GetBytes(MimeType), 0,
        .. System.Text.Encoding.UTF8.GetBytes(Filename),
    ];

    private static string? Parse(IReadOnlyList<string> tag, ref MediaAttachment? attachment)
    {
        if (tag.Count == 0 || tag[0] != "imeta")
        {
            return "not an imeta tag";
        }

        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        var locators = new List<MediaLocator>();
        for (int i = 1; i < tag.Count; i++)
        {
            int blank = tag[i].IndexOf(' ', StringComparison.Ordinal);
            string name = blank < 0 ? tag[i] : tag[i][..blank];
            string value = blank < 0 ? string.Empty : tag[i][(blank + 1)..];
            switch (name)
            {
                case "blurhash":
                    return "blurhash is not part of this version";
                case "locator" when TryReadLocator(value, out var locator):
                    locators.Add(locator);
                    break;
                case "locator":
                    return "a locator is malformed";
                case "v" or "ciphertext_sha256" or "plaintext_sha256" or "nonce" or "m" or "filename" or "dim" or "thumbhash":
                    if (blank < 0 || !fields.TryAdd(name, value))
                    {
                        return "a media field occurs twice or has no value";
                    }

                    break;
            }
        }

        if (fields.GetValueOrDefault("v") != MediaPolicy.Format)
        {
            return "the media version is not encrypted-media-v2";
        }

        byte[] nonce = new byte[Sodium.NonceSize];
        byte[] ciphertextHash = new byte[Bytes32.Size];
        byte[] plaintextHash = new byte[Bytes32.Size];
        if (!TryReadHex(fields, "nonce", nonce) || !TryReadHex(fields, "ciphertext_sha256", ciphertextHash)
            || !TryReadHex(fields, "plaintext_sha256", plaintextHash))
        {
            return "a media hash or the nonce is missing or wrong";
        }

        if (!fields.TryGetValue("m", out string? mimeType) || !MediaType.IsCanonical(mimeType))
        {
            return "the media type is missing or not canonical";
        }

        if (!fields.TryGetValue("filename", out string? filename) || !IsFilename(filename))
        {
            return "the file name is missing, too long or holds a NUL";
        }

        if (locators.Count == 0)
        {
            return "no locator";
        }

        attachment = new MediaAttachment
        {
            Locators = locators,
            CiphertextHash = new Bytes32(ciphertextHash),
            PlaintextHash = new Bytes32(plaintextHash),
            Nonce = nonce,
            MimeType = mimeType,
            Filename = filename,
            Dimensions = fields.GetValueOrDefault("dim"),
            Thumbhash = fields.GetValueOrDefault("thumbhash"),
        };
        return null;
    }

    private static bool TryReadLocator(string text, out MediaLocator locator)
    {
        int blank = text.IndexOf(' ', StringComparison.Ordinal);
        locator = blank < 0 ? default : new MediaLocator(text[..blank], text[(blank + 1)..]);
        return blank > 0 && locator.Value.Length > 0 && MediaPolicy.IsKind(locator.Kind)
            && (locator.Kind != MediaPolicy.Blossom || (HostName.TryReadUrl(locator.Value, out var url, out _) && url.Scheme is "http" or "https"));
    }

    // Either case is read; lower case is written.
    private static bool TryReadHex(Dictionary<string, string> fields, string name, Span<byte> bytes)
        => fields.TryGetValue(name, out string? text) && text.Length == bytes.Length * 2
            && Convert.FromHexString(text, bytes, out _, out _) == System.Buffers.OperationStatus.Done;

    private static bool IsFilename(string filename)
        => filename.Length > 0 && System.Text.Encoding.UTF8.GetByteCount(filename) <= MaxFilenameSize && !filename.Contains('\0', StringComparison.Ordinal);

    private static bool IsFetchable(string text) => HostName.TryReadUrl(text, out var url, out var host) && url.Scheme == "https" && !host.IsLoopback;
}
