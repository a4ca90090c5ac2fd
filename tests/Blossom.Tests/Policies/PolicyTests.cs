using System.Globalization;
using System.Net;
using System.Text;
using Marmot.Blossom.Policies;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Policies;

public sealed class PolicyTests
{
    [Fact]
    public async Task An_album_passes_and_then_the_rate_counts()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:LimitLoopback=true", "--Blossom:UploadBurst=20", "--Blossom:UploadsPerMinute=1");
        using var key = SecretKey.Generate();
        for (byte i = 0; i < 20; i++)
        {
            Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [i])).StatusCode);
        }

        using var refused = await server.UploadAsync(key, [99]);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.NotNull(refused.Header("Retry-After"));
    }

    [Fact]
    public async Task Bytes_are_counted_too()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:LimitLoopback=true", "--Blossom:UploadBytesPerHour=1000");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, BlossomServer.RandomBlob(900))).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await server.UploadAsync(key, BlossomServer.RandomBlob(900))).StatusCode);
    }

    [Fact]
    public async Task A_keys_bytes_a_day_are_its_own()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:KeyBytesPerDay=1000");
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(alice, BlossomServer.RandomBlob(900))).StatusCode);
        Assert.Equal(HttpStatusCode.TooManyRequests, (await server.UploadAsync(alice, BlossomServer.RandomBlob(900))).StatusCode);
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(bob, BlossomServer.RandomBlob(900))).StatusCode);
    }

    [Fact]
    public async Task Only_chosen_keys_upload_when_a_list_is_set()
    {
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        await using var server = await BlossomServer.StartAsync($"--Blossom:AllowedKeys:0={alice.PublicKey}");
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(alice, [1])).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await server.UploadAsync(bob, [2])).StatusCode);
    }

    [Fact]
    public async Task A_blocked_hash_is_403_to_upload_and_404_to_read()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, BlossomServer.HashOf([1]) + "\n");
        await using var server = await BlossomServer.StartAsync($"--Blossom:BlockedHashesFile={file}");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Forbidden, (await server.UploadAsync(key, [1])).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf([1])}")).StatusCode);
        Assert.Empty(server.BlobFiles());
        File.Delete(file);
    }

    [Fact]
    public async Task A_full_disk_is_507_with_a_reason_and_reads_go_on()
    {
        var folder = Directory.CreateTempSubdirectory("blossom-test-").FullName;
        using var key = SecretKey.Generate();
        await using (var server = await BlossomServer.StartInAsync(folder, null))
        {
            Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [1])).StatusCode);
        }

        await using (var server = await BlossomServer.StartInAsync(folder, null, $"--Blossom:MinFreeBytes={1L << 50}"))
        {
            using var refused = await server.UploadAsync(key, [2]);
            Assert.Equal(HttpStatusCode.InsufficientStorage, refused.StatusCode);
            Assert.NotNull(refused.Header("X-Reason"));
            Assert.Equal([1], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf([1])}"));
        }

        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task The_total_budget_holds()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:MaxTotalBytes=1000");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, BlossomServer.RandomBlob(900))).StatusCode);
        Assert.Equal(HttpStatusCode.InsufficientStorage, (await server.UploadAsync(key, BlossomServer.RandomBlob(200))).StatusCode);
    }

    [Fact]
    [Trait("Spec", "NIP-13")]
    [Trait("Clock", "Date")]
    public async Task Work_is_asked_above_a_size_and_counts_only_as_far_as_committed()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:WorkBits=8", "--Blossom:WorkAboveBytes=100");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, BlossomServer.RandomBlob(100))).StatusCode);
        var blob = BlossomServer.RandomBlob(101);
        using var refused = await server.UploadAsync(key, blob);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        Assert.Contains("8 bits", refused.Header("X-Reason"), StringComparison.Ordinal);

        var token = Enumerable.Range(0, 1_000_000).Select(nonce => TokenWithNonce(server, key, blob, nonce)).First(evt => evt.Id.Span[0] == 0);
        Assert.Equal(8, ProofOfWork.ReadTarget(token));
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) };
        request.Headers.TryAddWithoutValidation("Authorization", "Nostr " + Convert.ToBase64String(token.Json.Span));
        using var taken = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Created, taken.StatusCode);
    }

    [Fact]
    public async Task Retention_rules_go_by_type_and_size()
    {
        await using var server = await BlossomServer.StartAsync(
            "--Blossom:Profile=General", "--Blossom:RetentionRules:0:Type=video/*", "--Blossom:RetentionRules:0:MinBytes=100",
            "--Blossom:RetentionRules:0:Keep=01:00:00");
        using var key = SecretKey.Generate();
        using var large = await server.UploadAsync(key, BlossomServer.RandomBlob(100), "video/mp4");
        using var small = await server.UploadAsync(key, BlossomServer.RandomBlob(99), "video/mp4");
        Assert.Equal(server.Clock.GetUtcNow().AddHours(1).ToString("R", CultureInfo.InvariantCulture), large.Header("Sunset"));
        Assert.Null(small.Header("Sunset"));
    }

    private static NostrEvent TokenWithNonce(BlossomServer server, SecretKey key, byte[] blob, int nonce)
    {
        var now = server.Clock.GetUtcNow().ToUnixTimeSeconds();
        string[][] tags =
        [
            ["t", "upload"], ["expiration", (now + 300).ToString(CultureInfo.InvariantCulture)], ["x", BlossomServer.HashOf(blob).ToString()],
            ["nonce", nonce.ToString(CultureInfo.InvariantCulture), "8"],
        ];
        return NostrEvent.Create(key, BlossomAuth.Kind, tags, "upload", now);
    }
}
