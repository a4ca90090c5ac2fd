using System.Buffers;
using System.IO.Pipelines;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Retention;
using Marmot.Blossom.Storage;
using Marmot.Hosting.Deletion;
using Marmot.Hosting.Health;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Marmot.TestKit.Disks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Xunit.Abstractions;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>Claims and cells together: on a disk that loses power, and in a server whose files were damaged.</summary>
public sealed class StoreDamageTests(ITestOutputHelper output) : IDisposable
{
    private const int SeedCount = 12;
    private const int CutsOfASeed = 25;
    private static readonly Bytes32 Alice = new([.. Enumerable.Repeat((byte)1, 32)]);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task After_a_power_cut_every_acknowledged_upload_is_served_and_every_acknowledged_deletion_is_gone_from_both_files()
    {
        var cuts = 0;
        var first = Seeds.Next();
        output.WriteLine($"seed {first}");
        for (var i = 0; i < SeedCount; i++)
        {
            cuts += await CutAsync(first + i);
        }

        output.WriteLine($"{cuts} cuts");
        Assert.True(cuts > 250, $"{cuts} cuts");
    }

    [Theory]
    [InlineData("claims.index", 20)]
    [InlineData("small.cells", 100)]
    public async Task A_server_on_damaged_files_serves_the_rest_says_so_deletes_nothing_behind_it_and_a_new_upload_repairs(string name, long offset)
    {
        using var key = SecretKey.Generate();
        byte[][] blobs = [BlossomServer.RandomBlob(500), BlossomServer.RandomBlob(600), BlossomServer.RandomBlob(50_000)];
        await using (var server = await BlossomServer.StartInAsync(_folder.Path, null))
        {
            foreach (var blob in blobs)
            {
                (await server.UploadAsync(key, blob)).Dispose(); // the first stands first in both files
            }
        }

        await using (var file = new FileStream(Path.Combine(_folder.Path, "blossom", name), FileMode.Open, FileAccess.ReadWrite))
        {
            file.Position = offset;
            var value = file.ReadByte();
            file.Position = offset;
            file.WriteByte((byte)(value ^ 16));
        }

        await using (var server = await BlossomServer.StartInAsync(_folder.Path, null, "--Blossom:SweepInterval=00:00:00.100"))
        {
            var health = server.Services.GetServices<IHealthPart>().OfType<Janitor>().Single();
            while (health.Check() is not { Ready: true, Detail: "1 claims and 0 small blobs are damaged" or "0 claims and 1 small blobs are damaged" })
            {
                await Task.Delay(20); // the janitor's round
            }

            Assert.Equal(404, (int)(await server.Http.GetAsync($"/{BlossomServer.HashOf(blobs[0])}")).StatusCode);
            Assert.Equal(blobs[1], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blobs[1])}"));
            Assert.Equal(blobs[2], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blobs[2])}"));
            await server.Services.GetRequiredService<BlobService>().RemoveOrphansAsync(default);
            Assert.Equal(3, server.BlobFiles().Count()); // the bytes of the claim that is lost too

            using var again = await server.UploadAsync(key, blobs[0]);
            Assert.True(again.IsSuccessStatusCode);
            Assert.Equal(blobs[0], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blobs[0])}"));
        }

        var settings = $"--Storage:DataDirectory={_folder.Path}";
        var (_, stats) = await Commands.BlossomProcess.RunAsync("stats", settings);
        if (name == "claims.index")
        {
            Assert.Contains("\"damaged_claims\":1", stats, StringComparison.Ordinal);
            var (kept, words) = await Commands.BlossomProcess.RunAsync("gc", settings);
            Assert.Equal(1, kept);
            Assert.Contains("--drop-damaged", words, StringComparison.Ordinal);
            Assert.Equal(1, (await Commands.BlossomProcess.RunAsync("verify", settings)).ExitCode);
            Assert.Equal(0, (await Commands.BlossomProcess.RunAsync("gc", "--drop-damaged", settings)).ExitCode);
        }
        else
        {
            Assert.Contains("\"damaged_blobs\":0", stats, StringComparison.Ordinal); // repaired, and overwritten where it was
        }

        var (exit, verify) = await Commands.BlossomProcess.RunAsync("verify", settings);
        Assert.True(exit == 0, verify);
        Assert.Contains("\"whole\":3,\"damaged\":0,\"missing\":0,\"unclaimed\":0", verify, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_large_blob_whose_file_is_lost_or_cut_is_whole_again_after_the_next_upload()
    {
        using var key = SecretKey.Generate();
        await using var server = await BlossomServer.StartInAsync(_folder.Path, null);
        var blob = BlossomServer.RandomBlob(50_000);
        foreach (var length in (int[])[-1, 0, 49_999])
        {
            (await server.UploadAsync(key, blob)).Dispose();
            var file = Directory.EnumerateFiles(Path.Combine(_folder.Path, "blossom", "objects"), "*", SearchOption.AllDirectories).Single();
            if (length < 0)
            {
                File.Delete(file);
            }
            else
            {
                await File.WriteAllBytesAsync(file, blob[..length]);
            }

            using var again = await server.UploadAsync(key, blob);
            Assert.Equal(200, (int)again.StatusCode);
            Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blob)}"));
        }
    }

    private static (BlobService Blobs, SlotFileIndex Index, DiskBlobStore Store) Open(string root, Func<string, IDiskFile>? open)
    {
        var index = new SlotFileIndex(Path.Combine(root, "claims.index"), Clock.Running(), listable: true, open);
        var store = new DiskBlobStore(root, Clock.Running(), open);
        var moderation = new Moderation(new ModerationFile(root));
        var allowed = new AllowList(Options.Create(new PublicOptions()), moderation, Clock.Running(), NullLogger<AllowList>.Instance);
        var policy = new UploadPolicy(
            Options.Create(new BlossomOptions()), store, index, moderation, allowed, OwnerTags.Plain, Clock.Running(), NullLogger<UploadPolicy>.Instance);
        var deletion = new DeletionDate(new DeletionDateFile(root), Clock.Running(), NullLogger<DeletionDate>.Instance);
        return (new BlobService(store, index, new HashLocks(), OwnerTags.Plain, policy, Clock.Running(), deletion, NullLogger<BlobService>.Instance), index,
            store);
    }

    private async Task<int> CutAsync(int seed)
    {
        var random = new Random(seed);
        var root = _folder.File($"seed{seed}");
        Directory.CreateDirectory(root);
        using var disk = new RecordedDisk(root);
        var acknowledged = new Dictionary<Bytes32, byte[]>();
        Bytes32? changing = null;
        List<(string Folder, Dictionary<Bytes32, byte[]> Before, Bytes32? Changing)> cuts = [];
        var (blobs, index, store) = Open(root, disk.Open);
        disk.FlushFolder("");
        await store.RecoverAsync(default);
        disk.Step = () =>
        {
            if (random.Next(6) == 0 && cuts.Count < CutsOfASeed)
            {
                cuts.Add((disk.Cut(random), new(acknowledged), changing));
            }
        };
        for (var step = 0; step < 200 && cuts.Count < CutsOfASeed; step++)
        {
            if (acknowledged.Count > 2 && random.Next(2) == 0)
            {
                changing = acknowledged.Keys.ElementAt(random.Next(acknowledged.Count));
                await blobs.RemoveClaimAsync(changing.Value, Alice);
                acknowledged.Remove(changing.Value);
            }
            else
            {
                // Again, or new.
                var blob = acknowledged.Count > 0 && random.Next(3) == 0
                    ? acknowledged.Values.ElementAt(random.Next(acknowledged.Count))
                    : BlossomServer.RandomBlob(random.Next(4000));
                changing = acknowledged.ContainsKey(BlossomServer.HashOf(blob)) ? null : BlossomServer.HashOf(blob);
                await using var draft = store.Begin(null);
                await draft.AppendAsync(new ReadOnlySequence<byte>(blob), default);
                await blobs.KeepAsync(draft, BlossomServer.HashOf(blob), blob.Length, "a/b", Alice, null);
                acknowledged[BlossomServer.HashOf(blob)] = blob;
            }

            changing = null;
        }

        await index.DisposeAsync();
        await store.DisposeAsync();
        foreach (var (folder, before, unknown) in cuts)
        {
            // Into a folder that has the store's many others already.
            var again = _folder.File("again");
            Directory.CreateDirectory(again);
            foreach (var file in (string[])["claims.index", "small.cells"])
            {
                File.Copy(Path.Combine(folder, file), Path.Combine(again, file), overwrite: true);
            }

            var (left, leftIndex, leftStore) = Open(again, RecordedDisk.OpenUnflushed);
            await leftStore.RecoverAsync(default);
            await left.SortOutSuspectsAsync(default);
            await left.RemoveOrphansAsync(default);
            Assert.Equal((0, 0), left.Damage);
            var claimed = new HashSet<Bytes32>();
            await foreach (var claim in leftIndex.AllAsync(default))
            {
                claimed.Add(claim.Hash);
                await using var reader = await leftStore.OpenAsync(new BlobPlace(claim.Hash, claim.Mark), default);
                Assert.Equal(claim.Hash, BlossomServer.HashOf(await ReadAsync(reader!, claim.Size)));
            }

            Assert.Empty(before.Keys.Where(hash => hash != unknown).Except(claimed));
            Assert.Empty(claimed.Where(hash => hash != unknown).Except(before.Keys));
            var stored = new HashSet<Bytes32>();
            await foreach (var (place, _) in leftStore.ListAsync(default))
            {
                stored.Add(place.Hash);
            }

            Assert.Equal(claimed, stored);
            await leftIndex.DisposeAsync();
            await leftStore.DisposeAsync();
        }

        return cuts.Count;
    }

    private static async Task<byte[]> ReadAsync(BlobReader reader, long count)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        await reader.CopyToAsync(pipe.Writer, 0, count, default);
        await pipe.Writer.CompleteAsync();
        var read = await pipe.Reader.ReadAtLeastAsync((int)count);
        return read.Buffer.ToArray();
    }
}
