using Marmot.Blossom.Index;

namespace Marmot.Blossom.Tests.Index;

public sealed class SlotFileIndexTests : BlobIndexContract, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("blossom-index-").FullName;

    private string FilePath => Path.Combine(_folder, "claims.index");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Slots_are_used_again_so_that_the_file_does_not_grow()
    {
        await using var index = await OpenAsync();
        for (var i = 0; i < 300; i++)
        {
            await index.AddAsync(new BlobClaim(Filled(9), Filled(1), 10, "a/b", 5, null), default);
            await index.RemoveBlobAsync(Filled(9), default);
        }

        Assert.Equal(1024 * 1024, new FileInfo(FilePath).Length);
    }

    [Fact]
    public async Task A_second_opening_of_the_same_file_fails_at_once()
    {
        await using var index = await OpenAsync();
        await Assert.ThrowsAnyAsync<IOException>(OpenAsync);
    }

    private protected override Task<IBlobIndex> OpenAsync() => Task.Run<IBlobIndex>(() => new SlotFileIndex(FilePath, Clock, listable: true));
}
