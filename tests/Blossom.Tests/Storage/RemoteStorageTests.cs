using System.Net;
using Marmot.Blossom.Storage;
using Marmot.Blossom.Tests.Commands;
using Marmot.Blossom.Tests.Index;
using Marmot.Hosting.Health;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>The whole server with its blobs in S3 and its index in PostgreSQL.</summary>
public sealed class RemoteStorageTests(S3Fixture s3, PostgresFixture postgres) : IClassFixture<S3Fixture>, IClassFixture<PostgresFixture>, IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();
    private readonly string _prefix = $"{Guid.NewGuid():N}/";
    private string _database = "";

    public async Task InitializeAsync()
    {
        _database = await postgres.Server.CreateDatabaseAsync();
        await File.WriteAllBytesAsync(_folder.File("owner.secret"), BlossomServer.RandomBlob(32));
    }

    public Task DisposeAsync()
    {
        _folder.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task A_replica_serves_lists_and_deletes_what_another_took()
    {
        await using var one = await StartAsync();
        await using var two = await StartAsync();
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(12 * 1024 * 1024); // three parts
        var hash = BlossomServer.HashOf(blob);
        Assert.Equal(HttpStatusCode.Created, (await one.UploadAsync(alice, blob)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await two.UploadAsync(bob, blob)).StatusCode);
        Assert.Single(await ObjectsAsync(one));

        Assert.Equal(blob, await two.Http.GetByteArrayAsync($"/{hash}"));
        using var range = await two.SendAsync(HttpMethod.Get, $"/{hash}", ("Range", "bytes=6000000-6000099"));
        Assert.Equal(HttpStatusCode.PartialContent, range.StatusCode);
        Assert.Equal(blob[6_000_000..6_000_100], await range.Content.ReadAsByteArrayAsync());

        Assert.Equal(HttpStatusCode.NoContent, (await two.DeleteAsync(alice, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await one.SendAsync(HttpMethod.Head, $"/{hash}")).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await one.DeleteAsync(bob, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await two.SendAsync(HttpMethod.Get, $"/{hash}")).StatusCode);
        Assert.Empty(await ObjectsAsync(one));
    }

    [Fact]
    public async Task Uploads_and_deletions_of_one_blob_over_two_replicas_never_lose_an_acknowledged_upload()
    {
        await using var one = await StartAsync();
        await using var two = await StartAsync();
        var blob = BlossomServer.RandomBlob(2000);
        var hash = BlossomServer.HashOf(blob);
        await Task.WhenAll(new[] { one, two, one, two }.Select(async server =>
        {
            using var key = SecretKey.Generate();
            for (var i = 0; i < 12; i++)
            {
                using var up = await server.UploadAsync(key, blob);
                Assert.True(up.StatusCode is HttpStatusCode.Created or HttpStatusCode.OK, $"{up.StatusCode}");
                Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{hash}"));
                using var down = await server.DeleteAsync(key, hash);
                Assert.Equal(HttpStatusCode.NoContent, down.StatusCode);
            }
        }));
        Assert.Equal(HttpStatusCode.NotFound, (await one.SendAsync(HttpMethod.Get, $"/{hash}")).StatusCode);
        Assert.Empty(await ObjectsAsync(one));
    }

    [Fact]
    public async Task While_S3_is_away_requests_get_503_with_a_reason_readyz_says_so_and_it_heals_alone()
    {
        await using var own = await S3Server.StartAsync();
        await using var server = await StartAsync(
            $"--Blossom:S3:Endpoint={own.Endpoint}", $"--Blossom:S3:AccessKeyFile={own.AccessKeyFile}", $"--Blossom:S3:SecretKeyFile={own.SecretKeyFile}");
        using var key = SecretKey.Generate();
        var (kept, gone) = (BlossomServer.RandomBlob(1000), BlossomServer.RandomBlob(1000));
        await server.UploadAsync(key, kept);
        await server.UploadAsync(key, gone);
        await own.CrashAsync();

        using var refused = await server.UploadAsync(key, [1]);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("does not answer", refused.Header("X-Reason"), StringComparison.Ordinal);
        Assert.NotNull(refused.Header("Retry-After"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(kept)}")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Head, $"/{BlossomServer.HashOf(kept)}")).StatusCode); // the index answers
        Assert.Equal(new HealthState(false, "S3 does not answer"), Health(server));
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(key, BlossomServer.HashOf(gone))).StatusCode); // gone for everybody; the bytes follow

        await own.StartAgainAsync();
        await UntilAsync(() => Task.FromResult(Health(server).Ready));
        Assert.Equal(kept, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(kept)}"));
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [1])).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(gone)}")).StatusCode);
        await UntilAsync(async () => (await ObjectsAsync(server)).Count == 2);
    }

    [Fact]
    public async Task Without_PostgreSQL_it_starts_says_so_and_works_as_soon_as_the_database_is_there()
    {
        await using var own = await PostgresServer.StartAsync();
        var database = await own.CreateDatabaseAsync();
        await own.CrashAsync();
        await using var server = await StartAsync($"--Storage:Postgres={database}");
        using var key = SecretKey.Generate();
        using var refused = await server.UploadAsync(key, [1]);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("does not answer", refused.Header("X-Reason"), StringComparison.Ordinal);
        Assert.Equal(new HealthState(false, "PostgreSQL does not answer"), Health(server));

        await own.StartAgainAsync();
        await UntilAsync(() => Task.FromResult(Health(server).Ready));
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [1])).StatusCode);

        await own.CrashAsync();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf([1])}")).StatusCode);
        await own.StartAgainAsync();
        await UntilAsync(() => Task.FromResult(Health(server).Ready));
        Assert.Equal([1], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf([1])}"));
    }

    [Fact]
    [Trait("Spec", "BUD-01")]
    public async Task With_redirects_on_GET_leads_to_a_presigned_URL_that_names_the_hash_and_gives_the_bytes()
    {
        await using var server = await StartAsync("--Blossom:S3:Redirect=true", "--Blossom:Profile=General", "--Blossom:S3:RedirectLifetime=00:01:00");
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(3000);
        var hash = BlossomServer.HashOf(blob);
        await server.UploadAsync(key, blob, "text/html");
        using var handler = new SocketsHttpHandler { AllowAutoRedirect = false };
        using var http = new HttpClient(handler) { BaseAddress = server.Address };

        using var answer = await http.GetAsync($"/{hash}.html");
        Assert.Equal(HttpStatusCode.TemporaryRedirect, answer.StatusCode);
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
        Assert.Equal("no-store", answer.Header("Cache-Control"));
        Assert.Contains(hash.ToString(), answer.Headers.Location!.AbsolutePath, StringComparison.Ordinal);
        using var target = await http.GetAsync(answer.Headers.Location);
        Assert.Equal(blob, await target.Content.ReadAsByteArrayAsync());
        Assert.Equal("text/html", target.Content.Headers.ContentType!.MediaType);
        Assert.Equal("attachment", target.Header("Content-Disposition")); // nothing active is shown under the bucket's name either
        using var head = await server.SendAsync(HttpMethod.Head, $"/{hash}");
        Assert.Equal((HttpStatusCode.OK, 3000L), (head.StatusCode, head.Content.Headers.ContentLength!.Value));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync($"/{new string('0', 64)}")).StatusCode);
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task What_a_dead_replica_left_in_the_bucket_is_found_but_only_when_it_is_old()
    {
        await using var server = await StartAsync();
        using var key = SecretKey.Generate();
        await server.UploadAsync(key, [1]);
        var store = server.Services.GetRequiredService<IBlobStore>();
        await using (var draft = store.Begin(null))
        {
            await draft.AppendAsync(new System.Buffers.ReadOnlySequence<byte>([2]), default);
            await draft.CommitAsync(BlossomServer.HashOf([2]), default); // no claim follows
        }

        var blobs = server.Services.GetRequiredService<Marmot.Blossom.Blobs.BlobService>();
        Assert.Equal(0, await blobs.RemoveOrphansAsync(default)); // somebody may be about to claim it
        server.Clock.Wait(TimeSpan.FromHours(2));
        Assert.Equal(1, await blobs.RemoveOrphansAsync(default));
        Assert.Equal([BlossomServer.HashOf([1])], (await ObjectsAsync(server)).Select(place => place.Hash));
    }

    [Fact]
    public async Task The_tools_work_beside_a_running_server()
    {
        using var key = SecretKey.Generate();
        await using var server = await StartAsync();
        for (byte i = 0; i < 3; i++)
        {
            await server.UploadAsync(key, [i]);
        }

        Assert.Contains("\"blobs\":3,\"claims\":3,\"bytes\":3", await RunAsync(0, "stats"), StringComparison.Ordinal);
        Assert.Contains(BlossomServer.HashOf([1]).ToString(), await RunAsync(0, "list"), StringComparison.Ordinal);
        await RunAsync(0, "delete", BlossomServer.HashOf([0]).ToString());
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf([0])}")).StatusCode);
        Assert.Contains("\"exported\":2", await RunAsync(0, "export", _folder.File("out")), StringComparison.Ordinal);
        await RunAsync(0, "delete", BlossomServer.HashOf([1]).ToString());
        Assert.Contains("\"imported\":1,\"known\":1", await RunAsync(0, "import", _folder.File("out")), StringComparison.Ordinal);
        Assert.Equal([1], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf([1])}"));
        Assert.Contains("\"whole\":2,\"damaged\":0,\"missing\":0", await RunAsync(0, "verify"), StringComparison.Ordinal);
        Assert.Contains("\"ended\":0", await RunAsync(0, "gc"), StringComparison.Ordinal);
        await server.Services.GetRequiredService<IBlobStore>().DeleteAsync((await ObjectsAsync(server))[0], default);
        Assert.Contains("\"missing\":1", await RunAsync(1, "verify"), StringComparison.Ordinal);
    }

    private async Task<string> RunAsync(int expected, params string[] command)
    {
        var (exit, output) = await BlossomProcess.RunAsync([.. command, .. Settings, $"--Storage:DataDirectory={_folder.File("tools")}"]);
        Assert.True(exit == expected, $"{command[0]} ended with {exit}: {output}");
        return output;
    }

    private string[] Settings =>
        [
            .. s3.Settings(_prefix), $"--Storage:Postgres={_database}", $"--Blossom:OwnerSecretFile={_folder.File("owner.secret")}",
            "--Blossom:SweepInterval=00:00:00.100"
        ];

    private Task<BlossomServer> StartAsync(params string[] more) => BlossomServer.StartAsync([.. Settings, .. more]);

    private static HealthState Health(BlossomServer server) => server.Services.GetServices<IHealthPart>().Single(part => part.Name == "blossom").Check();

    private static async Task<List<BlobPlace>> ObjectsAsync(BlossomServer server)
    {
        var all = new List<BlobPlace>();
        await foreach (var (place, _) in server.Services.GetRequiredService<IBlobStore>().ListAsync(default))
        {
            all.Add(place);
        }

        return all;
    }

    /// <summary>Waits for what the server does by itself.</summary>
    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var deadline = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!await condition())
        {
            await timer.WaitForNextTickAsync(deadline.Token);
        }
    }
}
