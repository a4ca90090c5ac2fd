using Marmot.Blossom.Storage;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Storage;

public sealed class DiskBlobStoreTests : BlobStoreContract, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("blossom-store-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_deleted_file_is_overwritten_before_it_is_unlinked()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(100_000);
        var hash = await StoreAsync(store, blob);
        var link = Path.Combine(_folder, "witness");
        var file = Directory.EnumerateFiles(Path.Combine(_folder, "objects"), "*", SearchOption.AllDirectories).Single();
        using var process = System.Diagnostics.Process.Start("ln", [file, link]); // a hard link keeps the cells in sight
        await process.WaitForExitAsync();
        Assert.Equal(blob, await File.ReadAllBytesAsync(link));
        await store.DeleteAsync(hash, default);
        Assert.Equal(new byte[100_000], await File.ReadAllBytesAsync(link));
    }

    [Fact]
    public async Task A_reader_keeps_its_bytes_through_a_deletion_and_a_new_upload()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(50_000);
        var place = await StoreAsync(store, blob);
        await using var early = await store.OpenAsync(place, default);
        Assert.True(await store.DeleteAsync(place, default));
        Assert.False(await store.DeleteAsync(place, default));
        Assert.Null(await store.OpenAsync(place, default));
        await StoreAsync(store, blob);
        Assert.True(await store.DeleteAsync(place, default));
        Assert.Equal(blob, await CopyAsync(early!, 0, blob.Length));
    }

    [Fact]
    public async Task Committing_a_hash_that_is_there_keeps_one_file()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(5000);
        await StoreAsync(store, blob);
        await StoreAsync(store, blob);
        Assert.Single(await ListAsync(store));
    }

    [Fact]
    public async Task The_file_time_tells_the_day_only()
    {
        await using var store = Open();
        await StoreAsync(store, BlossomServer.RandomBlob(5000));
        var file = Directory.EnumerateFiles(Path.Combine(_folder, "objects"), "*", SearchOption.AllDirectories).Single();
        Assert.Equal(TimeSpan.Zero, File.GetLastWriteTimeUtc(file).TimeOfDay);
    }

    [Theory]
    [InlineData(4031)]
    [InlineData(4032)]
    [InlineData(4033)]
    public async Task A_blob_around_the_size_of_a_cell_comes_back_in_pieces_and_after_a_restart(int size)
    {
        var blob = BlossomServer.RandomBlob(size);
        BlobPlace place;
        await using (var store = Open())
        {
            await using var draft = store.Begin(null);
            await draft.AppendAsync(new(blob.AsMemory(0, 4000)), default);
            await draft.AppendAsync(new(blob.AsMemory(4000)), default);
            place = await draft.CommitAsync(BlossomServer.HashOf(blob), default);
            Assert.Equal(size > 4032, place.Mark == Guid.Empty);
        }

        await using var again = Open();
        await again.RecoverAsync(default);
        Assert.Equal(blob, await ReadAsync(again, place, 0, size));
        Assert.Equal([place.Hash], await ListAsync(again));
    }

    [Fact]
    public async Task A_deleted_small_blob_is_zeros_and_its_cell_is_used_again_but_never_by_its_old_name()
    {
        await using var store = Open();
        var old = await StoreAsync(store, BlossomServer.RandomBlob(3000));
        var size = new FileInfo(Cells).Length;
        Assert.True(await store.DeleteAsync(old, default));
        Assert.False(await store.DeleteAsync(old, default));
        Assert.All(await CellBytesAsync(), value => Assert.Equal(0, value));

        List<BlobPlace> places = [];
        for (var i = 0; i < 256; i++)
        {
            places.Add(await StoreAsync(store, BlossomServer.RandomBlob(100)));
        }

        Assert.Equal(size, new FileInfo(Cells).Length); // 1 MiB of cells, the freed one among them
        Assert.Equal(256, places.Distinct().Count());
        Assert.Null(await store.OpenAsync(old, default));
        Assert.False(await store.DeleteAsync(old, default));
        Assert.Equal(256, (await ListAsync(store)).Count);
    }

    [Fact]
    public async Task A_cell_torn_by_a_crash_is_not_served_and_is_cleared_and_used_again()
    {
        BlobPlace torn, whole;
        await using (var store = Open())
        {
            torn = await StoreAsync(store, BlossomServer.RandomBlob(3000));
            whole = await StoreAsync(store, [1]);
        }

        await using (var file = File.OpenWrite(Cells))
        {
            file.Position = 2048; // the second half was never written
            file.Write(new byte[2048]);
        }

        await using var again = Open();
        Assert.Null(await again.OpenAsync(torn, default));
        await again.RecoverAsync(default);
        await again.SortOutSuspectsAsync(() => ValueTask.FromResult<IReadOnlyCollection<BlobPlace>>([whole]), default);
        Assert.Equal(0, again.DamagedBlobs);
        Assert.All((await CellBytesAsync())[..4096], value => Assert.Equal(0, value));
        Assert.Equal([whole.Hash], await ListAsync(again));
        await StoreAsync(again, [2]);
        Assert.Equal([1], await ReadAsync(again, whole, 0, 1));
    }

    [Fact]
    public async Task Small_blobs_of_many_uploaders_at_once_are_all_there_and_whole()
    {
        await using var store = Open();
        var blobs = Enumerable.Range(0, 600).Select(i => BlossomServer.RandomBlob(i)).ToArray();
        var places = await Task.WhenAll(blobs.Select(blob => Task.Run(() => StoreAsync(store, blob))));
        for (var i = 0; i < blobs.Length; i++)
        {
            Assert.Equal(blobs[i], await ReadAsync(store, places[i], 0, blobs[i].Length));
        }

        Assert.All(await Task.WhenAll(places.Select(place => Task.Run(async () => await store.DeleteAsync(place, default)))), Assert.True);
        Assert.Empty(await ListAsync(store));
    }

    [Theory]
    [InlineData(512 * 1024)]
    [InlineData((1024 * 1024) - 1)]
    [InlineData(1024 * 1024)]
    [InlineData((1024 * 1024) + 1)]
    public async Task Large_blobs_come_back_whole_when_more_of_them_are_received_at_once_than_there_are_buffers(int size)
    {
        await using var store = Open();
        var blobs = Enumerable.Range(0, 20).Select(_ => BlossomServer.RandomBlob(size)).ToArray();
        var drafts = blobs.Select(_ => store.Begin(null)).ToArray();
        for (var at = 0; at < size; at += 70_001)
        {
            for (var i = 0; i < blobs.Length; i++)
            {
                await drafts[i].AppendAsync(new(blobs[i].AsMemory(at, Math.Min(70_001, size - at))), default);
            }
        }

        for (var i = 0; i < blobs.Length; i++)
        {
            var place = await drafts[i].CommitAsync(BlossomServer.HashOf(blobs[i]), default);
            await drafts[i].DisposeAsync();
            Assert.Equal(blobs[i], await ReadAsync(store, place, 0, size));
        }
    }

    private string Cells => Path.Combine(_folder, "small.cells");

    private async Task<byte[]> CellBytesAsync()
    {
        await using var file = new FileStream(Cells, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var copy = new MemoryStream();
        await file.CopyToAsync(copy);
        return copy.ToArray();
    }

    private protected override Task<int> CountRemainsAsync() => Task.FromResult(Directory.GetFiles(Path.Combine(_folder, "incoming")).Length);

    private protected override IBlobStore Open() => new DiskBlobStore(_folder, Clock.Running());
}
