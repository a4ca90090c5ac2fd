using Marmot.Blossom.Storage;

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
        await StoreAsync(store, [1, 2, 3]);
        await StoreAsync(store, [1, 2, 3]);
        Assert.Single(await ListAsync(store));
    }

    [Fact]
    public async Task The_file_time_tells_the_day_only()
    {
        await using var store = Open();
        await StoreAsync(store, [1]);
        var file = Directory.EnumerateFiles(Path.Combine(_folder, "objects"), "*", SearchOption.AllDirectories).Single();
        Assert.Equal(TimeSpan.Zero, File.GetLastWriteTimeUtc(file).TimeOfDay);
    }

    private protected override Task<int> CountRemainsAsync() => Task.FromResult(Directory.GetFiles(Path.Combine(_folder, "incoming")).Length);

    private protected override IBlobStore Open() => new DiskBlobStore(_folder, TimeProvider.System);
}
