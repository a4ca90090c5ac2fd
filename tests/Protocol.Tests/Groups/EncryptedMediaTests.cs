using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Groups;

[Trait("Spec", "MIP-04")]
public class EncryptedMediaTests
{
    private static readonly JsonElement File = VectorFile.Read("media-mip04-v2.json");

    [Fact]
    public void Encrypts_and_decrypts_every_published_file()
    {
        var cases = File.GetProperty("cases");
        Assert.Equal(5, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            byte[] plaintext = vector.TryGetProperty("plaintext", out _)
                ? vector.Bytes("plaintext")
                : [.. Enumerable.Range(0, 65536).Select(i => (byte)((i * 7) + (i >> 8)))];
            byte[] secret = vector.Bytes("media_secret");
            string[] tag = [.. vector.GetProperty("imeta").EnumerateArray().Select(e => e.GetString()!)];
            Assert.True(MediaReference.TryParse(tag, out var media, out _), vector.Text("name"));
            Assert.Equal(tag, media.ToTag());
            Assert.Equal(vector.Text("filename"), media.Filename);
            Assert.True(media.TryGetBlobHash(out var address));
            Assert.Equal(vector.Text("ciphertext_sha256"), address.ToString());

            byte[] context = EncryptedMedia.Context(media);
            Assert.Equal(vector.Bytes("aad"), context);
            byte[] key = new byte[32];
            EncryptedMedia.DeriveFileKey(secret, context, key);
            Assert.Equal(vector.Bytes("file_key"), key);
            byte[] blob = EncryptedMedia.Encrypt(secret, plaintext, media);
            Assert.Equal(vector.GetProperty("ciphertext_length").GetInt32(), blob.Length);
            Assert.Equal(vector.Bytes("ciphertext_sha256"), SHA256.HashData(blob));
            Assert.True(EncryptedMedia.TryDecrypt(secret, media, blob, out byte[]? opened));
            Assert.Equal(plaintext, opened);
        }
    }

    [Fact]
    public void Decides_every_published_imeta_tag()
    {
        var cases = File.GetProperty("imeta_parsing");
        Assert.Equal(14, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            // The one verdict that is text: MDK refuses names above 210 bytes, and so does this.
            bool valid = vector.GetProperty("valid").ValueKind == JsonValueKind.True;
            Assert.True(valid == MediaReference.TryParse([.. vector.GetProperty("tag").EnumerateArray().Select(e => e.GetString()!)], out _, out _),
                vector.Text("name"));
        }
    }

    [Fact]
    public void Canonicalises_media_types()
    {
        foreach (var pair in File.GetProperty("mime_canonical").EnumerateArray())
        {
            Assert.Equal(pair[1].GetString(), MediaReference.CanonicalMimeType(pair[0].GetString()!));
        }
    }

    [Fact]
    public void Returns_what_was_encrypted_and_refuses_any_other_secret_name_type_nonce_or_hash()
    {
        byte[] secret = RandomNumberGenerator.GetBytes(32);
        byte[] plaintext = RandomNumberGenerator.GetBytes(500);
        var media = EncryptedMedia.Encrypt(secret, plaintext, "Image/PNG; q=1", "a b.png", hash => $"https://b.example/{hash}.png", out byte[] blob);
        Assert.True(MediaReference.TryParse(media.ToTag(), out var read, out _));
        Assert.Equal(media.ToTag(), read.ToTag());
        Assert.True(read.TryGetBlobHash(out var address));
        Assert.Equal(SHA256.HashData(blob), address.Span.ToArray());
        Assert.True(EncryptedMedia.TryDecrypt(secret, read, blob, out byte[]? opened));
        Assert.Equal(plaintext, opened);

        Assert.False(EncryptedMedia.TryDecrypt(new byte[32], media, blob, out _));
        Assert.False(EncryptedMedia.TryDecrypt(secret, media with { Filename = "a b.PNG" }, blob, out _));
        Assert.False(EncryptedMedia.TryDecrypt(secret, media with { MimeType = "image/gif" }, blob, out _));
        Assert.False(EncryptedMedia.TryDecrypt(secret, media with { Nonce = new byte[12] }, blob, out _));
        Assert.False(EncryptedMedia.TryDecrypt(secret, media with { PlaintextHash = default }, blob, out _));
        for (int length = 0; length < blob.Length; length++)
        {
            Assert.False(EncryptedMedia.TryDecrypt(secret, media, blob.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void Refuses_plaintext_that_is_not_the_one_the_tag_names()
    {
        // A sender can seal other bytes under the named hash's key; the reader must notice.
        byte[] secret = new byte[32];
        var media = new MediaReference
        {
            Url = "https://b.example/x",
            MimeType = "text/plain",
            Filename = "a",
            Nonce = new byte[12],
            PlaintextHash = new Bytes32(SHA256.HashData("good"u8)),
        };
        Assert.True(EncryptedMedia.TryDecrypt(secret, media, EncryptedMedia.Encrypt(secret, "good"u8, media), out _));
        Assert.False(EncryptedMedia.TryDecrypt(secret, media, EncryptedMedia.Encrypt(secret, "evil"u8, media), out _));
    }

    [Theory]
    [InlineData("https://xn--ü/")]
    [InlineData("https://a..b/")]
    [InlineData("https://foo:99999/")]
    [InlineData("https://\u0378/")]
    [InlineData("ftp://blobs.example/")]
    public void Refuses_a_url_whose_host_is_none(string start)
    {
        var media = EncryptedMedia.Encrypt(new byte[32], "x"u8, "text/plain", "a", hash => $"{start}{hash}", out _);
        Assert.False(MediaReference.TryParse(media.ToTag(), out _, out _));
    }

    [Fact]
    public void Refuses_a_required_entry_that_occurs_twice()
    {
        var media = EncryptedMedia.Encrypt(new byte[32], "x"u8, "text/plain", "a", hash => $"https://b.example/{hash}", out _);
        foreach (string entry in media.ToTag()[1..])
        {
            Assert.False(MediaReference.TryParse([.. media.ToTag(), entry], out _, out _));
        }

        Assert.True(MediaReference.TryParse([.. media.ToTag(), "alt one", "alt two"], out _, out _));
    }

    [Theory]
    [InlineData("", "image/png")]
    [InlineData("a", "")]
    [InlineData("a", " ; charset=x")]
    public void Does_not_write_what_no_reader_takes(string filename, string mimeType) =>
        Assert.Throws<ArgumentException>(() => EncryptedMedia.Encrypt(new byte[32], [], mimeType, filename, _ => string.Empty, out _));

    [Theory]
    [InlineData("https://b.example/")]
    [InlineData("https://b.example/abc")]
    [InlineData("https://b.example/ababababababababababababababababababababababababababababababababff")]
    public void Finds_no_blob_hash_in_other_urls(string url)
    {
        var media = EncryptedMedia.Encrypt(new byte[32], "x"u8, "text/plain", "a", _ => url, out _);
        Assert.False(media.TryGetBlobHash(out _));
    }
}
