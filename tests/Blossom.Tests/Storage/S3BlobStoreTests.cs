using System.Buffers;
using Amazon.S3.Model;
using Marmot.Blossom.Storage;
using Marmot.Blossom.Storage.S3;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Storage;

public sealed class S3BlobStoreTests(S3Fixture s3) : BlobStoreContract, IClassFixture<S3Fixture>, IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _prefix = $"{Guid.NewGuid():N}/";

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Bytes_uploaded_again_lie_apart_so_that_a_late_deletion_of_the_old_ones_spares_them()
    {
        await using var store = Open();
        var first = await StoreAsync(store, [1, 2, 3]);
        var second = await StoreAsync(store, [1, 2, 3]);
        Assert.NotEqual(first, second);
        await store.DeleteAsync(first, default);
        Assert.Equal([1, 2, 3], await ReadAsync(store, second, 0, 3));
    }

    [Fact]
    public async Task A_draft_of_an_announced_hash_takes_no_other()
    {
        await using var store = Open();
        await using var draft = store.Begin(BlossomServer.HashOf([1]));
        await draft.AppendAsync(new ReadOnlySequence<byte>([2]), default);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await draft.CommitAsync(BlossomServer.HashOf([2]), default));
    }

    [Fact]
    public async Task A_short_failure_is_bridged_and_a_long_one_is_said()
    {
        await using var store = Open();
        await s3.Server.FailAsync($$"""[{"method":"PUT","prefix":"/blobs/{{_prefix}}","status":503,"count":1}]""");
        var place = await StoreAsync(store, [1, 2, 3]);
        Assert.Equal([1, 2, 3], await ReadAsync(store, place, 0, 3));
        await s3.Server.FailAsync($$"""[{"prefix":"/blobs/{{_prefix}}","status":500,"count":100}]""");
        await Assert.ThrowsAsync<StorageUnavailableException>(async () => await StoreAsync(store, [4]));
        await Assert.ThrowsAsync<StorageUnavailableException>(async () => await ReadAsync(store, place, 0, 3));
        await s3.Server.FailAsync("[]");
        Assert.Equal([1, 2, 3], await ReadAsync(store, place, 0, 3));
    }

    [Fact]
    public async Task A_body_that_is_cut_is_never_taken_for_whole()
    {
        await using var store = Open();
        var place = await StoreAsync(store, BlossomServer.RandomBlob(200_000));
        await s3.Server.FailAsync($$"""[{"method":"GET","prefix":"/blobs/{{_prefix}}","cutAfter":1000,"count":1}]""");
        await Assert.ThrowsAnyAsync<IOException>(async () => await ReadAsync(store, place, 0, 200_000));
    }

    private protected override IBlobStore Open() => new S3BlobStore(s3.Options(_prefix), _folder.Path, 1L << 30, Clock.Running());

    private protected override async Task<int> CountRemainsAsync()
    {
        using var bucket = new BlobBucket(s3.Options(_prefix));
        var open = await bucket.Client.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = bucket.Name });
        return (open.MultipartUploads?.Count(upload => upload.Key.StartsWith(_prefix, StringComparison.Ordinal)) ?? 0)
            + Directory.GetFiles(Path.Combine(_folder.Path, "incoming")).Length;
    }
}
