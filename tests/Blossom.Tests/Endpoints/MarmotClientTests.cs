using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Endpoints;

/// <summary>Media that a peer encrypted, sent and fetched as White Noise and as the MDK do it (their headers to the letter), against both profiles
/// unconfigured.</summary>
[Trait("Spec", "MIP-04")]
public sealed class MarmotClientTests
{
    private const int MaxDescriptorBytes = 16 * 1024; // MDK

    [Theory]
    [InlineData("Private")]
    [InlineData("General")]
    [Trait("Clock", "Date")]
    public async Task Media_of_a_peer_goes_up_as_White_Noise_does_it_and_comes_back_as_the_original(string profile)
    {
        await using var server = await BlossomServer.StartAsync($"--Blossom:Profile={profile}");
        foreach (var (media, secret, blob, plaintext) in ReadVectors())
        {
            // A fresh key, padded base64, no X-SHA-256, no server tag, the type of what is inside.
            using var key = SecretKey.Generate();
            var token = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [BlossomServer.HashOf(blob)], null, server.Clock.GetUtcNow(),
                TimeSpan.FromSeconds(300));
            using var descriptor = await UploadAsync(server, blob, "Nostr " + Padded(token["Nostr ".Length..]), media.MimeType);
            Assert.Equal(BlossomServer.HashOf(blob).ToString(), descriptor.RootElement.GetProperty("sha256").GetString());

            Assert.True(media.TryGetBlobHash(out var hash)); // from the imeta tag: by hash, without an extension or a token
            var fetched = await server.Http.GetByteArrayAsync($"/{hash}");
            Assert.True(EncryptedMedia.TryDecrypt(secret, media, fetched, out var read));
            Assert.Equal(plaintext, read);
        }
    }

    [Theory]
    [InlineData("Private")]
    [InlineData("General")]
    [Trait("Clock", "Date")]
    public async Task Media_of_a_peer_goes_up_as_the_MDK_does_it_and_comes_back_as_the_original(string profile)
    {
        await using var server = await BlossomServer.StartAsync($"--Blossom:Profile={profile}");
        foreach (var (media, secret, blob, plaintext) in ReadVectors())
        {
            // Unpadded base64url, X-SHA-256, the host without its port as server tag, octet-stream.
            using var key = SecretKey.Generate();
            var hash = BlossomServer.HashOf(blob);
            var token = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [hash], server.Address.Host, server.Clock.GetUtcNow(), TimeSpan.FromSeconds(600));
            using var descriptor = await UploadAsync(server, blob, token, "application/octet-stream", ("X-SHA-256", hash.ToString()));

            var url = new Uri(descriptor.RootElement.GetProperty("url").GetString()!);
            Assert.Equal(server.Address.Host, url.Host);
            Assert.StartsWith($"/{hash}.", url.AbsolutePath, StringComparison.Ordinal);
            foreach (var path in (string[])[url.AbsolutePath, $"/{hash}.bin"])
            {
                using var answer = await server.SendAsync(HttpMethod.Get, path, ("Accept-Encoding", "identity"));
                Assert.Equal(blob.Length, answer.Content.Headers.ContentLength);
                var fetched = await answer.Content.ReadAsByteArrayAsync();
                Assert.True(EncryptedMedia.TryDecrypt(secret, media, fetched, out var read));
                Assert.Equal(plaintext, read);
            }
        }
    }

    [Fact]
    public async Task A_group_avatar_is_deleted_by_the_key_it_was_uploaded_with()
    {
        await using var server = await BlossomServer.StartAsync();
        using var derived = SecretKey.Generate(); // MIP-01: derived from the image's upload seed by whoever is in the group
        using var stranger = SecretKey.Generate();
        var avatar = BlossomServer.RandomBlob(40_000);
        var hash = BlossomServer.HashOf(avatar);
        using var up = await server.UploadAsync(derived, avatar);
        Assert.Equal(HttpStatusCode.Forbidden, (await server.DeleteAsync(stranger, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(derived, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{hash}")).StatusCode);
    }

    private static async Task<JsonDocument> UploadAsync(BlossomServer server, byte[] blob, string authorization, string type,
        params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) };
        request.Headers.TryAddWithoutValidation("Authorization", authorization);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(type);
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        var body = await answer.Content.ReadAsByteArrayAsync();
        Assert.InRange(body.Length, 1, MaxDescriptorBytes);
        return JsonDocument.Parse(body);
    }

    private static string Padded(string base64Url)
    {
        var text = base64Url.Replace('-', '+').Replace('_', '/');
        return text + new string('=', (4 - (text.Length % 4)) % 4);
    }

    private static IEnumerable<(MediaReference Media, byte[] Secret, byte[] Blob, byte[] Plaintext)> ReadVectors()
    {
        using var vectors = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", "media-mip04-v2.json")));
        foreach (var one in vectors.RootElement.GetProperty("cases").EnumerateArray())
        {
            if (!one.TryGetProperty("imeta", out var imeta) || !one.TryGetProperty("ciphertext", out var ciphertext)
                || !one.TryGetProperty("plaintext", out var plaintext))
            {
                continue; // told by its hashes only
            }

            Assert.True(MediaReference.TryParse([.. imeta.EnumerateArray().Select(part => part.GetString()!)], out var media, out _));
            yield return (media, Convert.FromHexString(one.GetProperty("media_secret").GetString()!), Convert.FromHexString(ciphertext.GetString()!),
                Convert.FromHexString(plaintext.GetString()!));
        }
    }
}
