using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Components;

[Trait("Spec", "adopted profile, encrypted-media-v2")]
public class MediaAttachmentTests
{
    private static readonly JsonElement Media = VectorFile.Read("adopted/media-v2.json");
    private static readonly JsonElement Adopted = VectorFile.Read("adopted/media-adopted.json");

    private static string[] Tag(JsonElement item, string name) => [.. item.GetProperty(name).EnumerateArray().Select(t => t.GetString()!)];

    private static MediaPolicy Policy
    {
        get
        {
            Assert.True(MediaPolicy.TryRead(Media.Bytes("component_0x800b"), out var policy, out _));
            return policy;
        }
    }

    [Fact]
    public void The_known_answer_of_mdk_is_met()
    {
        var known = Adopted.GetProperty("mdk_known_answer");
        var attachment = new MediaAttachment
        {
            Locators = [],
            CiphertextHash = default,
            PlaintextHash = new Bytes32(known.Bytes("plaintext_sha256")),
            Nonce = new byte[12],
            MimeType = known.Text("mime"),
            Filename = known.GetProperty("filename").GetString()!,
        };
        Assert.Equal(known.Bytes("aad"), attachment.Context());
        byte[] key = new byte[32];
        MediaAttachment.DeriveKey(known.Bytes("media_secret"), attachment.Context(), key);
        Assert.Equal(known.Bytes("file_key"), key);
    }

    [Fact]
    public void Every_case_is_read_opened_and_sealed_to_the_same_blob()
    {
        int cases = 0;
        foreach (var item in Media.GetProperty("cases").EnumerateArray()
            .Concat(Adopted.GetProperty("cases").EnumerateArray().Where(c => c.Text("version") == "encrypted-media-v2")))
        {
            string[] tag = Tag(item, "imeta");
            Assert.True(MediaAttachment.TryParse(tag, out var attachment, out var reason), reason.ToString());
            Assert.Equal(tag, attachment.ToTag());
            byte[] secret = item.Bytes("media_secret");
            byte[] file = item.TryGetProperty("plaintext", out _)
                ? item.Bytes("plaintext")
                : [.. Enumerable.Range(0, 65536).Select(i => (byte)((i * 7) + (i >> 8)))];
            byte[] blob = attachment.Seal(secret, file);
            Assert.Equal(item.Text("ciphertext_sha256"), Convert.ToHexStringLower(SHA256.HashData(blob)));
            Assert.True(attachment.TryDecrypt(secret, blob, out byte[]? opened));
            Assert.Equal(file, opened);
            Assert.False(attachment.TryDecrypt(new byte[32], blob, out _));
            cases++;
        }

        Assert.Equal(11, cases);
    }

    [Fact]
    public void Variants_of_the_tag_have_the_recorded_verdict_and_can_be_fetched_or_not()
    {
        var variants = Media.GetProperty("imeta_variants").EnumerateArray().ToArray();
        Assert.Equal(19, variants.Length);
        foreach (var item in variants)
        {
            bool valid = MediaAttachment.TryParse(Tag(item, "imeta"), out var attachment, out _);
            Assert.True(item.GetProperty("valid").GetBoolean() == valid, item.Text("name"));
            if (valid)
            {
                Assert.True(item.GetProperty("fetchable").GetBoolean() == attachment!.FetchUrls(Policy).Any(), item.Text("name"));
            }
        }
    }

    [Fact]
    public void Tags_of_mdk_have_its_verdict_and_are_written_back_exactly()
    {
        foreach (var item in VectorFile.Read("adopted/mdk-imeta-encrypted-media-v2.json").GetProperty("cases").EnumerateArray())
        {
            string[] tag = Tag(item, "tag");
            bool valid = MediaAttachment.TryParse(tag, out var attachment, out _);
            Assert.True(item.GetProperty("valid").GetBoolean() == valid, item.Text("name"));
            if (attachment is not null)
            {
                Assert.Equal(tag, attachment.ToTag());
                Assert.Equal(item.GetProperty("expected").GetProperty("dim").GetString(), attachment.Dimensions);
                Assert.Equal(item.GetProperty("expected").GetProperty("thumbhash").GetString(), attachment.Thumbhash);
                Assert.Equal(item.GetProperty("expected").GetProperty("locators").EnumerateArray().Select(l => l.Text("kind")),
                    attachment.Locators.Select(l => l.Kind));
            }
        }
    }

    [Fact]
    public void Altered_blobs_and_wrong_hashes_are_refused()
    {
        foreach (var item in Media.GetProperty("blob_faults").EnumerateArray())
        {
            var original = Media.GetProperty("cases").EnumerateArray().Single(c => c.Text("name") == item.Text("case"));
            Assert.True(MediaAttachment.TryParse(item.TryGetProperty("imeta", out _) ? Tag(item, "imeta") : Tag(original, "imeta"), out var attachment, out _));
            Assert.False(attachment.TryDecrypt(original.Bytes("media_secret"), item.Bytes("ciphertext"), out _), item.Text("name"));
        }
    }

    [Fact]
    public void Own_locators_come_first_then_the_endpoints_and_nothing_private()
    {
        var attachment = MediaAttachment.Encrypt(new byte[32], "file"u8, "text/plain", "a.txt", hash => $"https://own.example/{hash}.bin", out _);
        string hash = attachment.CiphertextHash.ToString();
        Assert.Equal([$"https://own.example/{hash}.bin", $"https://blossom.example/{hash}"], attachment.FetchUrls(Policy));
        var other = attachment with
        {
            Locators = [
                new("mirror-v9", "anything"), new("blossom-v1", $"http://own.example/{hash}"), new("blossom-v1", $"https://127.0.0.1/{hash}"),
                new("blossom-v1", "https://own.example/abc")
            ],
        };
        Assert.Equal([$"https://blossom.example/{hash}"], other.FetchUrls(Policy));
        Assert.Empty(other.FetchUrls(MediaPolicy.OfBlossom(["http://blossom.example/"])));
    }

    [Fact]
    public void A_file_has_a_size_a_type_and_a_name()
    {
        Assert.Throws<ArgumentException>(() => MediaAttachment.Encrypt(new byte[32], [], "text/plain", "a", _ => "", out _));
        Assert.Throws<ArgumentException>(() => MediaAttachment.Encrypt(new byte[32], [1], "text", "a", _ => "", out _));
        Assert.Throws<ArgumentException>(() => MediaAttachment.Encrypt(new byte[32], [1], "text/plain", "", _ => "", out _));
        Assert.Throws<ArgumentException>(() => MediaAttachment.Encrypt(new byte[32], [1], "text/plain", new string('a', 256), _ => "", out _));
    }

    [Fact]
    public void Media_types_have_one_spelling()
    {
        foreach (var item in Adopted.GetProperty("mime_canonical").EnumerateArray())
        {
            bool valid = MediaType.TryMakeCanonical(item[0].GetString()!, out string? canonical);
            Assert.Equal(item[1].GetString(), canonical);
            Assert.Equal(valid, canonical is not null && MediaType.IsCanonical(canonical));
        }
    }

    [Fact]
    public void The_group_picture_of_the_vectors_opens()
    {
        foreach (var (image, body, blob, plaintext) in Pictures())
        {
            Assert.True(GroupPicture.TryRead(body, out var picture, out var reason), reason.ToString());
            Assert.Equal(body, picture!.ToBytes());
            Assert.True(picture.TryDecrypt(blob, out byte[]? opened));
            Assert.Equal(plaintext, opened);
            using var uploadKey = picture.CreateUploadKey();
            Assert.Equal(image.Text("upload_pubkey"), uploadKey.PublicKey.ToString());
            Assert.Equal(image.Bytes("aad"), GroupPicture.AssociatedData(picture.MediaTypeName));
        }
    }

    private static IEnumerable<(JsonElement, byte[], byte[], byte[])> Pictures()
    {
        var image = Media.GetProperty("group_image");
        yield return (image, image.Bytes("component_0x8002"), image.Bytes("blob"), image.Bytes("plaintext"));
        var file = VectorFile.Read("group-image.json");
        var adopted = file.GetProperty("adopted_component_0x8002");
        byte[] body = new VectorWriter().Vector(adopted.Bytes("image_hash")).Vector(file.Bytes("image_key_field")).Vector(file.Bytes("image_nonce"))
            .Vector(file.Bytes("image_upload_key_field"))
            .Text(adopted.Text("media_type")).ToArray();
        yield return (adopted, body, adopted.Bytes("ciphertext"), file.Bytes("plaintext"));
    }
}
