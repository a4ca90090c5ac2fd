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
    public async Task The_file_time_tells_the_day_only()
    {
        await using var store = Open();
        await StoreAsync(store, [1]);
        var file = Directory.EnumerateFiles(Path.Combine(_folder, "objects"), "*", SearchOption.AllDirectories).Single();
        Assert.Equal(TimeSpan.Zero, File.GetLastWriteTimeUtc(file).TimeOfDay);
    }

    private protected override IBlobStore Open() => new DiskBlobStore(_folder, TimeProvider.System);
}
