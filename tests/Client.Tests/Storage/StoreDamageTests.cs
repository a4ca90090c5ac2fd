using System.Security.Cryptography;
using Marmot.Client.Storage;
using Marmot.TestKit.Disks;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Storage;

/// <summary>The client store on a disk that flips bits, loses power and gives back old copies (docs/decisions/0022).</summary>
public sealed class StoreDamageTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string LogPath => Path.Combine(_folder.File("state"), ClientStore.FileName);

    private string MarkPath => Path.ChangeExtension(LogPath, ".mark");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_flipped_bit_anywhere_in_the_log_is_an_error_that_leaves_the_file_as_it_is()
    {
        using (var store = Open())
        {
            for (int i = 0; i < 5; i++)
            {
                Put(store, $"key {i}", [(byte)i]);
            }
        }

        byte[] mark = File.ReadAllBytes(MarkPath);
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await BitFlips.SweepAsync(LogPath, 0, new FileInfo(LogPath).Length, step: 1, seed, at =>
        {
            byte[] damaged = File.ReadAllBytes(LogPath);
            File.WriteAllBytes(MarkPath, mark);
            Assert.True(Record.Exception(() => Open().Dispose()) is InvalidDataException, $"byte {at}: opened, or another error");
            Assert.Equal(damaged, File.ReadAllBytes(LogPath));
            return Task.CompletedTask;
        });
    }

    [Fact]
    public void A_damaged_length_31_batches_back_is_an_error_even_without_the_mark()
    {
        var lengths = new List<long>();
        using (var store = Open())
        {
            for (int i = 0; i < 40; i++)
            {
                lengths.Add(store.FileBytes);
                Put(store, "generation", [(byte)i]);
            }
        }

        File.Delete(MarkPath);
        for (int at = 0; at < 4; at++)
        {
            byte[] bytes = File.ReadAllBytes(LogPath);
            bytes[lengths[9] + at] ^= 0x40;
            File.WriteAllBytes(LogPath, bytes);
            Assert.Throws<InvalidDataException>(() => Open());
            Assert.Equal(bytes, File.ReadAllBytes(LogPath));
            bytes[lengths[9] + at] ^= 0x40;
            File.WriteAllBytes(LogPath, bytes);
        }
    }

    [Fact]
    public async Task A_flipped_bit_in_the_mark_loses_nothing_and_counts_as_a_copy_put_back()
    {
        using (var store = Open())
        {
            Put(store, "a", [1]);
        }

        byte[] log = File.ReadAllBytes(LogPath);
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await BitFlips.SweepAsync(MarkPath, 0, new FileInfo(MarkPath).Length, step: 1, seed, _ =>
        {
            File.WriteAllBytes(LogPath, log);
            using var store = Open();
            Assert.Equal([1], store.Get("a"));
            Assert.NotNull(store.Get(ClientStore.CopyKey));
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task A_flipped_bit_in_a_page_costs_at_most_the_damaged_record_and_is_counted()
    {
        byte[][] records = [.. Enumerable.Range(0, 8).Select(i => RandomNumberGenerator.GetBytes(i == 3 ? 0 : 20 + i))];
        string folder = _folder.File("pages");
        var pages = new PageFolder(folder, []);
        var page = pages.Write(records);
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        string path = Path.Combine(folder, page.Name);
        await BitFlips.SweepAsync(path, 0, new FileInfo(path).Length, step: 1, seed, _ =>
        {
            byte[]?[] read = pages.Read(page);
            Assert.Equal(records.Length, read.Length);
            Assert.True(read.Where((record, i) => record is null || !record.SequenceEqual(records[i])).Count(record => record is null) <= 1);
            Assert.DoesNotContain(read.Zip(records), pair => pair.First is not null && !pair.First.SequenceEqual(pair.Second));
            return Task.CompletedTask;
        });
        using var store = Open();
        var kept = store.WritePage(records);
        string file = Path.Combine(_folder.File("state"), ClientStore.PageFolderName, kept.Name);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[(records.Length * sizeof(int)) + 16] ^= 1; // the first byte of the first record
        File.WriteAllBytes(file, bytes);
        Assert.Null(store.ReadPage(kept, 0));
        Assert.Null(store.ReadPage(kept, 0));
        Assert.Equal(records[7], store.ReadPage(kept, 7));
        Assert.Equal(1, store.DamagedRecords);
        File.Delete(file);
        Assert.Equal(records[1], store.ReadPage(kept, 1)); // the page read last is in memory
    }

    [Fact]
    public void After_thousands_of_power_cuts_everything_acknowledged_is_there_and_nothing_else()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var dice = new Random(seed);
        for (int run = 0; run < 40; run++)
        {
            string root = _folder.File($"run{run}");
            Directory.CreateDirectory(root);
            var disk = new TestDisk(root);
            var recorder = new Recorder(disk);
            var acknowledged = new Dictionary<string, int>(StringComparer.Ordinal);
            var written = new Dictionary<string, int>(StringComparer.Ordinal);
            PageReference? page = null;
            bool isPageNamed = false;
            using (var store = Open(root, recorder))
            {
                for (int step = 1; step <= 25; step++)
                {
                    string key = $"k{dice.Next(4)}";
                    bool durable = dice.Next(2) == 0;
                    if (page is null && dice.Next(6) == 0)
                    {
                        page = store.WritePage([[1, 2, 3], RandomNumberGenerator.GetBytes(900)]);
                        var batch = new StoreBatch();
                        batch.PutJson($"{ClientStore.PagePrefix}x", page);
                        store.Commit(batch, durable);
                        isPageNamed |= durable;
                    }

                    Put(store, key, [(byte)step, .. new byte[dice.Next(1500)]], durable);
                    written[key] = step;
                    if (durable)
                    {
                        isPageNamed |= page is not null;
                        foreach (var (name, value) in written)
                        {
                            acknowledged[name] = value;
                        }
                    }

                    for (int cut = 0; cut < 3; cut++)
                    {
                        AssertAfterCut(disk, dice, acknowledged, written, step, isPageNamed ? page : null);
                    }
                }
            }
        }
    }

    [Fact]
    public void A_rewrite_survives_a_power_cut_at_any_moment()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var dice = new Random(seed);
        string root = _folder.File("rewrite");
        Directory.CreateDirectory(root);
        var disk = new TestDisk(root);
        int cuts = 0;
        int last = 0;
        using var store = Open(root, new Recorder(disk, () =>
        {
            // A store of some MiB: a few cuts at the end, where it is rewritten.
            if (last >= 14 && cuts < 60)
            {
                cuts++;
                string folder = _folder.File($"cut{cuts}");
                disk.Cut(dice, folder);
                using var after = Open(folder, null);
                Assert.InRange((int)after.Get("n")![0], last, last + 1);
                after.Dispose();
                Directory.Delete(folder, recursive: true);
            }
        }));
        for (int i = 0; i <= 18; i++)
        {
            Put(store, "n", [(byte)i, .. new byte[1 << 20]]);
            last = i;
        }

        Assert.True(store.FileBytes < 10 << 20, "it was not rewritten");
        Assert.True(cuts > 10);
    }

    [Fact]
    public void An_old_copy_of_the_folder_or_of_the_log_alone_put_back_is_noticed()
    {
        using (var store = Open())
        {
            Put(store, "a", [1]);
        }

        string copy = _folder.File("copy");
        Copy(_folder.File("state"), copy);
        using (var store = Open())
        {
            Assert.Null(store.Get(ClientStore.CopyKey));
            Put(store, "a", [2]);
        }

        // 1. The log alone, in place: the mark knows of more.
        File.Copy(Path.Combine(copy, ClientStore.FileName), LogPath, overwrite: true);
        AssertNoticed();

        // 2. The whole folder in the old one's place: the files are others.
        Directory.Delete(_folder.File("state"), recursive: true);
        Copy(copy, _folder.File("state"));
        AssertNoticed();

        // 3. Without the mark.
        File.Delete(MarkPath);
        AssertNoticed();

        // 4. Opened again, and killed in between: nothing to notice.
        Open().Dispose();
        using var again = Open();
        Assert.Null(again.Get(ClientStore.CopyKey));
    }

    [Fact]
    public void A_store_of_the_first_format_opens_and_is_rewritten()
    {
        Directory.CreateDirectory(_folder.File("state"));
        using var secret = StoreSecret.FromKeyFile(_folder.File("store.key"));
        FirstFormatWriter.Write(LogPath, secret, ("a", [1]), ("b", [2]), ("a", [3]));
        using (var store = Open())
        {
            Assert.Equal([3], store.Get("a"));
            Assert.Equal([2], store.Get("b"));
            Put(store, "c", [4]);
        }

        Assert.Equal("MRMTSTO2"u8.ToArray(), File.ReadAllBytes(LogPath)[..8]);
        using var again = Open();
        Assert.Equal([4], again.Get("c"));
        Assert.Null(again.Get(ClientStore.CopyKey));
    }

    private void AssertNoticed()
    {
        using var store = Open();
        Assert.Equal([1], store.Get("a"));
        Assert.NotNull(store.Get(ClientStore.CopyKey));
        var batch = new StoreBatch();
        batch.Delete(ClientStore.CopyKey);
        store.Commit(batch);
    }

    private void AssertAfterCut(TestDisk disk, Random dice, Dictionary<string, int> acknowledged, Dictionary<string, int> written, int step,
        PageReference? page)
    {
        string folder = _folder.File("cut");
        disk.Cut(dice, folder);
        using (var store = Open(folder, null))
        {
            foreach (var (key, value) in store.Scan("k"))
            {
                Assert.InRange(value[0], acknowledged.GetValueOrDefault(key), step);
                Assert.True(written.ContainsKey(key));
            }

            Assert.DoesNotContain(acknowledged.Keys, key => store.Get(key) is null);
            if (page is not null)
            {
                Assert.Equal([1, 2, 3], store.ReadPage(page, 0));
                Assert.NotNull(store.ReadPage(page, 1));
            }

            Put(store, "k0", [(byte)step]); // and it goes on
        }

        Directory.Delete(folder, recursive: true);
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }

    private ClientStore Open() => Open(_folder.File("state"), null);

    private ClientStore Open(string folder, IStoreRecorder? recorder)
    {
        using var secret = StoreSecret.FromKeyFile(_folder.File("store.key"));
        return ClientStore.Open(folder, secret, recorder);
    }

    private static void Put(ClientStore store, string key, byte[] value, bool durable = true)
    {
        var batch = new StoreBatch();
        batch.Put(key, value);
        store.Commit(batch, durable);
    }

    /// <summary>Tells the test disk what the store does to its files.</summary>
    private sealed class Recorder(TestDisk disk, Action? after = null) : IStoreRecorder
    {
        public void Write(string path, long offset, ReadOnlySpan<byte> bytes)
        {
            disk.Write(path, offset, bytes);
            after?.Invoke();
        }

        public void SetLength(string path, long length) => disk.SetLength(path, length);

        public void Flush(string path)
        {
            disk.Flush(path);
            after?.Invoke();
        }

        public void FlushFolder(string path)
        {
            disk.FlushFolder(path);
            after?.Invoke();
        }

        public void Move(string from, string to)
        {
            disk.Move(from, to);
            after?.Invoke();
        }

        public void Delete(string path) => disk.Delete(path);
    }
}
