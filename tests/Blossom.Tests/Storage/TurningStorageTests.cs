using System.Net;
using System.Text;
using Marmot.Blossom.Retention;
using Marmot.Blossom.Tests.Index;
using Marmot.Hosting.Health;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>A bucket and a database that turn to nonsense while the server runs, and back; and what a bucket learns of who calls.</summary>
public sealed class TurningStorageTests(S3Fixture s3, PostgresFixture postgres) : IClassFixture<S3Fixture>, IClassFixture<PostgresFixture>, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();
    private readonly SecretKey _key = SecretKey.Generate();

    public void Dispose()
    {
        _key.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("close")]
    [InlineData("http")]
    [InlineData("zeros")]
    [InlineData("bytes")]
    [InlineData("text")]
    public async Task A_bucket_that_turns_to_nonsense_is_away_with_a_reason_and_loses_nothing(string kind)
    {
        await using var proxy = TurningProxy.Start(s3.Server.Port);
        await using var server = await BlossomServer.StartAsync([.. Bucket(proxy, kind), "--Blossom:SweepInterval=00:00:00.100"]);
        var kept = BlossomServer.RandomBlob(6_000_000); // parts
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(_key, kept)).StatusCode);

        proxy.Speak(kind);
        foreach (var size in (int[])[10, 6_000_001])
        {
            using var up = await server.UploadAsync(_key, BlossomServer.RandomBlob(size));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, up.StatusCode);
            Assert.NotNull(up.Header("X-Reason"));
        }

        using (var get = await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(kept)}"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, get.StatusCode);
        }

        await UntilAsync(() => !Health(server).Ready);
        Assert.StartsWith("S3 ", Health(server).Detail, StringComparison.Ordinal);

        proxy.Speak(null);
        await UntilAsync(() => Health(server).Ready);
        Assert.Equal(kept, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(kept)}"));
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(_key, BlossomServer.RandomBlob(11))).StatusCode);
    }

    [Theory]
    [InlineData("close")]
    [InlineData("http")]
    [InlineData("zeros")]
    [InlineData("pg length")]
    [InlineData("pg row")]
    [InlineData("pg error")]
    [InlineData("pg auth")]
    public async Task A_database_that_turns_to_nonsense_is_away_with_a_reason_and_loses_nothing(string kind)
    {
        await using var proxy = TurningProxy.Start(postgres.Server.Port);
        var database = (await postgres.Server.CreateDatabaseAsync()).Replace($"{postgres.Server.Port}", $"{proxy.Port}", StringComparison.Ordinal);
        await File.WriteAllBytesAsync(_folder.File("owner"), new byte[32]);
        await using var server = await BlossomServer.StartAsync(
            $"--Storage:Postgres={database};Timeout=1;Command Timeout=1;Cancellation Timeout=500", $"--Blossom:OwnerSecretFile={_folder.File("owner")}",
            "--Blossom:SweepInterval=00:00:00.100");
        var kept = BlossomServer.RandomBlob(1000);
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(_key, kept)).StatusCode);

        proxy.Speak(kind);
        using (var up = await server.UploadAsync(_key, BlossomServer.RandomBlob(10)))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, up.StatusCode);
            Assert.NotNull(up.Header("X-Reason"));
        }

        using (var get = await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(kept)}"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, get.StatusCode);
        }

        await UntilAsync(() => !Health(server).Ready);
        Assert.StartsWith("PostgreSQL ", Health(server).Detail, StringComparison.Ordinal);

        proxy.Speak(null);
        await UntilAsync(() => Health(server).Ready);
        Assert.Equal(kept, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(kept)}"));
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(_key, BlossomServer.RandomBlob(11))).StatusCode);
    }

    [Fact]
    public async Task What_a_bucket_is_sent_carries_nothing_of_the_request_that_caused_it()
    {
        const string Mark = "mark0f1e2d3c";
        (string Name, string Value)[] marked =
        [
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", $"vendor={Mark}"), ("baggage", $"account={Mark}"),
            ("Correlation-Context", $"account={Mark}"), ("Request-Id", $"|{Mark}."), ("X-Request-Id", Mark), ("User-Agent", Mark), ("Cookie", $"a={Mark}"),
            ("Referer", $"https://{Mark}.example/"), ("Origin", $"https://{Mark}.example"), ("Accept-Language", Mark),
            ("X-Forwarded-For", "203.0.113.77"), ("X-Amz-Meta-Name", Mark),
            ("If-None-Match", $"\"{Mark}\""),
        ];
        await using var proxy = TurningProxy.Start(s3.Server.Port);
        await using var server = await BlossomServer.StartAsync(Bucket(proxy, "marked"));
        foreach (var size in (int[])[10, 6_000_000])
        {
            var blob = new byte[size];
            blob[0] = (byte)size;
            var hash = BlossomServer.HashOf(blob);
            Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(_key, blob, "application/octet-stream", marked)).StatusCode);
            Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, $"/{hash}?{Mark}=1", marked)).StatusCode);
            Assert.Equal(HttpStatusCode.PartialContent, (await server.SendAsync(HttpMethod.Get, $"/{hash}", [.. marked, ("Range", "bytes=1-5")])).StatusCode);
            Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Head, $"/{hash}", marked)).StatusCode);
            var token = server.Token(_key, BlossomVerb.Delete, hash);
            Assert.Equal(
                HttpStatusCode.NoContent, (await server.SendAsync(HttpMethod.Delete, $"/{hash}", [.. marked, ("Authorization", token)])).StatusCode);
        }

        await UntilAsync(() => proxy.Asked.Contains("DELETE /", StringComparison.Ordinal));
        var asked = proxy.Asked;
        Assert.Contains("PUT /", asked, StringComparison.Ordinal);
        Assert.Contains("GET /", asked, StringComparison.Ordinal);
        var owner = _key.PublicKey.ToString();
        foreach (var secret in (string[])[
            Mark, "0af7651916cd43dd8448eb211c80319c", "203.0.113.77", "Nostr ", owner, Convert.ToBase64String(Encoding.ASCII.GetBytes(owner))])
        {
            Assert.DoesNotContain(secret, asked, StringComparison.OrdinalIgnoreCase);
        }

        Assert.DoesNotContain("traceparent", asked, StringComparison.OrdinalIgnoreCase);
    }

    private string[] Bucket(TurningProxy proxy, string prefix) =>
        [.. s3.Settings($"{prefix}/"), $"--Blossom:S3:Endpoint=http://127.0.0.1:{proxy.Port}", "--Blossom:S3:Timeout=00:00:05"];

    private static HealthState Health(BlossomServer server) => server.Services.GetServices<IHealthPart>().OfType<Janitor>().Single().Check();

    private static async Task UntilAsync(Func<bool> holds)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!holds())
        {
            await Task.Delay(50, patience.Token);
        }
    }
}
