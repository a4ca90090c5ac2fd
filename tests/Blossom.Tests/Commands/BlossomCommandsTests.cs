using System.Net;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Commands;

public sealed class BlossomCommandsTests
{
    [Fact]
    public async Task The_tools_work_on_a_stopped_store()
    {
        var folder = Directory.CreateTempSubdirectory("blossom-tools-").FullName;
        var data = $"--Storage:DataDirectory={folder}";
        using var key = SecretKey.Generate();
        await using (var server = await BlossomServer.StartInAsync(folder, null))
        {
            byte[][] blobs = [[0], [1], BlossomServer.RandomBlob(5000)]; // two small ones, one with a file of its own
            foreach (var each in blobs)
            {
                (await server.UploadAsync(key, each)).Dispose();
            }

            Assert.Contains("\"blobs\":3", (await BlossomProcess.RunAsync("stats", data)).Output, StringComparison.Ordinal); // by the running server
        }

        Assert.Contains("\"blobs\":3,\"claims\":3,\"bytes\":5002", (await BlossomProcess.RunAsync("stats", data)).Output, StringComparison.Ordinal);
        Assert.Contains(BlossomServer.HashOf([1]).ToString(), (await BlossomProcess.RunAsync("list", data)).Output, StringComparison.Ordinal);
        Assert.Equal(0, (await BlossomProcess.RunAsync("delete", BlossomServer.HashOf([0]).ToString(), data)).ExitCode);
        Assert.Equal(1, (await BlossomProcess.RunAsync("delete", BlossomServer.HashOf([0]).ToString(), data)).ExitCode);
        Assert.Equal(2, (await BlossomProcess.RunAsync("delete", data)).ExitCode);

        var exported = Path.Combine(folder, "out");
        Assert.Contains("\"exported\":2", (await BlossomProcess.RunAsync("export", exported, data)).Output, StringComparison.Ordinal);
        var other = Directory.CreateTempSubdirectory("blossom-tools-").FullName;
        Assert.Contains("\"imported\":2", (await BlossomProcess.RunAsync("import", exported, $"--Storage:DataDirectory={other}")).Output,
            StringComparison.Ordinal);

        var blob = Directory.EnumerateFiles(Path.Combine(other, "blossom", "objects"), "*", SearchOption.AllDirectories).Single();
        Assert.Equal(0, (await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}")).ExitCode);
        await File.WriteAllBytesAsync(blob, [77]);
        var (exit, report) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}");
        Assert.Equal(1, exit);
        Assert.Contains("\"whole\":1,\"damaged\":1", report, StringComparison.Ordinal);

        await using (var cells = File.OpenWrite(Path.Combine(other, "blossom", "small.cells")))
        {
            cells.Position = 64; // the blob's one byte
            cells.WriteByte(77);
        }

        (exit, report) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}");
        Assert.Equal(1, exit);
        Assert.Contains("\"whole\":0,\"damaged\":2,\"missing\":0", report, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
        Directory.Delete(other, recursive: true);
    }

    [Fact]
    public async Task Every_tool_works_on_a_running_server_without_a_refused_request()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        using var other = SecretKey.Generate();
        using var work = new TemporaryFolder();
        byte[][] blobs = [[0], [1], BlossomServer.RandomBlob(5000), BlossomServer.RandomBlob(70_000)];
        foreach (var each in blobs)
        {
            (await server.UploadAsync(key, each)).Dispose();
        }

        (await server.UploadAsync(other, blobs[3])).Dispose();
        using var stop = new CancellationTokenSource();
        var load = LoadAsync(server, other, stop.Token);

        Assert.Equal(4, await CountAsync(server, "list", "--key", Nip19.EncodePublicKey(key.PublicKey)));
        Assert.Equal(1, await CountAsync(server, "list", "--key", other.PublicKey.ToString(), "--min-bytes", "60000"));
        Assert.Equal(0, await CountAsync(server, "list", "--key", key.PublicKey.ToString(), "--older", "1"));
        Assert.Equal(1, await CountAsync(server, "list", "--hash", BlossomServer.HashOf(blobs[2]).ToString()[..12]));
        Assert.Equal(0, await RunAsync(server, "verify"));
        Assert.Equal(0, await RunAsync(server, "export", work.File("out")));
        Assert.Equal(blobs[2], await File.ReadAllBytesAsync(work.File(Path.Combine("out", BlossomServer.HashOf(blobs[2]) + ".bin"))));

        Assert.Equal(0, await RunAsync(server, "delete", BlossomServer.HashOf(blobs[2]).ToString()));
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(server, blobs[2]));
        Assert.Equal(1, await RunAsync(server, "delete", BlossomServer.HashOf(blobs[2]).ToString()));
        // A search counts first; a key's purge leaves what somebody else holds.
        Assert.Equal(1, await RunAsync(server, "delete", "--key", key.PublicKey.ToString()));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(server, blobs[0]));
        Assert.Equal(0, await RunAsync(server, "delete", "--key", key.PublicKey.ToString(), "--yes"));
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(server, blobs[0]));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(server, blobs[3]));

        Assert.Equal(0, await RunAsync(server, "import", work.File("out")));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(server, blobs[2]));

        Assert.Equal(0, await RunAsync(server, "gc"));
        Assert.Equal(2, await RunAsync(server, "delete"));
        Assert.Equal(2, await RunAsync(server, "delete", "nonsense"));

        await stop.CancelAsync();
        Assert.True(await load > 0);
        var trail = server.Services.GetRequiredService<Moderation>().State.Trail;
        Assert.Equal(["delete-blob", "delete-blobs"], trail.Select(line => line.Action));
    }

    [Fact]
    public async Task A_folder_that_does_not_exist_is_refused_and_not_made()
    {
        using var work = new TemporaryFolder();
        var (exit, output) = await BlossomProcess.RunAsync("stats", $"--Storage:DataDirectory={work.File("missing")}");
        Assert.Equal(1, exit);
        Assert.Contains("does not exist", output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(work.File("missing")));
    }

    [Fact]
    public async Task Reports_are_grouped_by_blob_and_go_when_they_are_acknowledged()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        var (bad, worse) = (BlossomServer.HashOf([1]).ToString(), BlossomServer.HashOf([2]).ToString());
        foreach (var (hash, type, text) in new[] { (bad, "spam", "a"), (worse, "malware", "b"), (worse, "malware", "c"), (worse, "spam", "d") })
        {
            var report = NostrEvent.Create(key, 1984, [["x", hash, type]], text, 1_700_000_000);
            using var request = new HttpRequestMessage(HttpMethod.Put, "/report") { Content = new ByteArrayContent(report.Json.ToArray()) };
            (await server.Http.SendAsync(request)).EnsureSuccessStatusCode().Dispose();
        }

        var lines = (await OutputAsync(server, "reports")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, lines.Length);
        Assert.Contains(worse, lines[0], StringComparison.Ordinal);
        Assert.Contains("\"reports\":3,\"reporters\":1,\"types\":[\"malware\",\"spam\"]", lines[0], StringComparison.Ordinal);
        Assert.Equal(0, await RunAsync(server, "reports", "--done", worse));
        Assert.Equal(1, await RunAsync(server, "reports", "--done", worse));
        Assert.DoesNotContain(worse, await OutputAsync(server, "reports"), StringComparison.Ordinal);
        Assert.Contains(bad, await OutputAsync(server, "reports"), StringComparison.Ordinal);
    }

    private static async Task<long> LoadAsync(BlossomServer server, SecretKey key, CancellationToken stop)
    {
        long done = 0;
        while (!stop.IsCancellationRequested)
        {
            var blob = BlossomServer.RandomBlob(2000);
            using var up = await server.UploadAsync(key, blob);
            Assert.True(up.IsSuccessStatusCode, up.StatusCode.ToString());
            Assert.Equal(HttpStatusCode.OK, await GetAsync(server, blob));
            done++;
        }

        return done;
    }

    private static async Task<HttpStatusCode> GetAsync(BlossomServer server, byte[] blob) =>
        (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(blob)}")).StatusCode;

    private static async Task<int> CountAsync(BlossomServer server, params string[] args) =>
        (await OutputAsync(server, args)).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;

    private static async Task<string> OutputAsync(BlossomServer server, params string[] args)
    {
        using var output = new MemoryStream();
        Assert.Equal(0, await RunAsync(server, output, args));
        return System.Text.Encoding.UTF8.GetString(output.ToArray());
    }

    private static Task<int> RunAsync(BlossomServer server, params string[] args) => RunAsync(server, Stream.Null, args);

    private static async Task<int> RunAsync(BlossomServer server, Stream output, string[] args)
    {
        using var channel = await OperatorClient.TryConnectAsync(server.Services.GetRequiredService<BlossomFolders>().OperatorSocket);
        return await OperatorClient.RunAsync(channel!, args, new CommandStreams(Stream.Null, output, _ => Task.CompletedTask, _ => { }));
    }
}
