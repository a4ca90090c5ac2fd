using System.Text;
using Marmot.Hosting.Health;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests;

/// <summary>A data directory on a disk of a few megabytes. Needs root to mount a tmpfs.</summary>
public sealed class DiskFullTests
{
    private const long Now = 1_700_000_500;

    [Fact]
    public async Task Refuses_writes_with_a_reason_reads_and_live_go_on_and_writes_come_back()
    {
        using var folder = new TemporaryFolder();
        await using var disk = await SmallDisk.MountAsync(folder.File("disk"), "16m");
        var ballast = Path.Combine(disk.Path, "ballast");
        await File.WriteAllBytesAsync(ballast, new byte[3 << 20]);
        using var key = SecretKey.Generate();
        var acknowledged = new List<string>();
        await using (var relay = await RelayHost.StartAsync(Now, disk.Path))
        {
            await using var writer = await relay.ConnectAsync();
            await using var reader = await relay.ConnectAsync();
            Assert.Empty(await reader.QueryAsync("{\"kinds\":[20001]}", "live", keep: true));

            // 1. Until it is full: the refusal is an error with a reason, and says nothing false before.
            //    What is left then, a few pages of the index's, is used up too.
            var answer = (Accepted: true, Text: "");
            for (int i = 0, refused = 0; refused < 10; i++)
            {
                Assert.True(i < 1000, "the disk does not get full");
                var evt = NostrEvent.Create(key, 1, [], $"{i} {new string('x', 20_000)}", Now);
                answer = await writer.PublishAsync(evt);
                refused = answer.Accepted ? 0 : refused + 1;
                if (answer.Accepted)
                {
                    acknowledged.Add(evt.Id.ToString());
                }
            }

            Assert.StartsWith("error: ", answer.Text, StringComparison.Ordinal);
            Assert.False(relay.Services.GetServices<IHealthPart>().Single(p => p.Name == "storage").Check().Ready);

            // 2. Reads and live go on, on the same connection.
            Assert.Equal(acknowledged.Order(StringComparer.Ordinal), await writer.QueryAsync("{\"kinds\":[1]}"));
            Assert.True((await writer.PublishAsync(NostrEvent.Create(key, 20_001, [], "live", Now))).Accepted);
            Assert.Equal("live", (await reader.ReceiveAsync())[2].GetProperty("content").GetString());
            Assert.False((await writer.PublishAsync(NostrEvent.Create(key, 1, [], new string('y', 20_000), Now))).Accepted);

            // 3. Space returns, and nothing but the next event is needed.
            File.Delete(ballast);
            var after = NostrEvent.Create(key, 1, [], "after", Now);
            Assert.Equal((true, ""), await writer.PublishAsync(after));
            acknowledged.Add(after.Id.ToString());
            Assert.True(relay.Services.GetServices<IHealthPart>().Single(p => p.Name == "storage").Check().Ready);
        }

        await using var again = await RelayHost.StartAsync(Now, disk.Path);
        await using var client = await again.ConnectAsync();
        Assert.Equal(acknowledged.Order(StringComparer.Ordinal), await client.QueryAsync("{\"kinds\":[1]}"));
    }

    [Fact]
    public async Task What_was_acknowledged_is_found_though_the_disk_got_full_before_the_index_had_it()
    {
        using var folder = new TemporaryFolder();
        await using var disk = await SmallDisk.MountAsync(folder.File("disk"), "32m");
        using var key = SecretKey.Generate();
        await using var store = EmbeddedEventStore.Open(Path.Combine(disk.Path, "store"));
        await store.WriteAsync([.. Enumerable.Range(0, 3000).Select(Tagged)], CancellationToken.None);
        EventWrite[] waiting = [.. Enumerable.Range(3000, 7).Select(Tagged)];
        foreach (var write in waiting)
        {
            await store.WriteAsync([write], CancellationToken.None);
        }

        FillUp(Path.Combine(disk.Path, "ballast"));
        var found = await store.QueryAsync(new Filter { Since = Now + 3000 }, ReadScope.Everything(Now), store.HighWaterMark, 10, CancellationToken.None);
        Assert.Equal(waiting.Reverse().Select(w => w.Record.Id), found.Select(f => f.Id));

        EventWrite Tagged(int i)
        {
            var evt = NostrEvent.Create(key, 1, [.. Enumerable.Range(0, 12).Select(_ => new[] { "t", $"{Guid.NewGuid()}" })], "", Now + i);
            Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
            return new EventWrite(EventRecord.Create(view, vanishesHere: false));
        }

        static void FillUp(string path)
        {
            using var ballast = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
            var page = new byte[4096];
            Assert.Throws<IOException>(void () =>
            {
                for (var at = 0L; ; at += page.Length)
                {
                    RandomAccess.Write(ballast, page, at);
                }
            });
        }
    }

    /// <summary>A mounted tmpfs; unmounted when disposed.</summary>
    private sealed class SmallDisk(string path) : IAsyncDisposable
    {
        public string Path { get; } = path;

        public static async Task<SmallDisk> MountAsync(string path, string size)
        {
            Directory.CreateDirectory(path);
            await RunAsync("mount", ["-t", "tmpfs", "-o", $"size={size}", "tmpfs", path]);
            return new SmallDisk(path);
        }

        public async ValueTask DisposeAsync() => await RunAsync("umount", ["-l", Path]);

        private static async Task RunAsync(string program, string[] arguments)
        {
            await using var process = ChildProcess.Start(program, arguments);
            var code = await process.WaitForExitAsync(TimeSpan.FromSeconds(20));
            Assert.True(code == 0, $"{program} needs root: {process.Output}");
        }
    }
}
