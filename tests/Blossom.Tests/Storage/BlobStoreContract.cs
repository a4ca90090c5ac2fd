using System.Buffers;
using System.IO.Pipelines;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>What every blob store must do; each implementation derives from this.</summary>
public abstract class BlobStoreContract
{
    private protected abstract IBlobStore Open();

    [Fact]
    public async Task Reads_back_what_was_committed_whole_and_in_parts()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(200_000);
        var hash = await StoreAsync(store, blob);
        Assert.Equal(blob, await ReadAsync(store, hash, 0, blob.Length));
        Assert.Equal(blob[1000..1010], await ReadAsync(store, hash, 1000, 10));
        Assert.Equal([hash.Hash], await ListAsync(store));
    }

    [Fact]
    public async Task A_draft_without_commit_leaves_nothing()
    {
        await using var store = Open();
        await using (var draft = store.Begin(null))
        {
            await draft.AppendAsync(new ReadOnlySequence<byte>(new byte[100]), default);
        }

        Assert.Empty(await ListAsync(store));
    }

    [Fact]
    public async Task A_draft_takes_pieces_of_any_shape()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(10_000);
        var pipe = new Pipe(new PipeOptions(minimumSegmentSize: 512, pauseWriterThreshold: 0));
        for (var at = 0; at < blob.Length; at += 100)
        {
            await pipe.Writer.WriteAsync(blob.AsMemory(at, 100));
        }

        var pieces = (await pipe.Reader.ReadAsync()).Buffer;
        Assert.False(pieces.IsSingleSegment);
        await using var draft = store.Begin(null);
        await draft.AppendAsync(pieces.Slice(0, 4321), default);
        await draft.AppendAsync(pieces.Slice(4321), default);
        var place = await draft.CommitAsync(BlossomServer.HashOf(blob), default);
        Assert.Equal(blob, await ReadAsync(store, place, 0, blob.Length));
    }

    [Fact]
    public async Task A_deleted_blob_is_gone_and_may_come_again()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(50_000);
        var first = await StoreAsync(store, blob);
        Assert.True(await store.DeleteAsync(first, default));
        Assert.Empty(await ListAsync(store));
        await Assert.ThrowsAsync<FileNotFoundException>(async () => await ReadAsync(store, first, 0, blob.Length));
        var second = await StoreAsync(store, blob);
        Assert.Equal(blob, await ReadAsync(store, second, 0, blob.Length));
    }

    [Fact]
    public async Task Two_uploads_of_the_same_bytes_do_not_disturb_each_other()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(1000);
        var first = await StoreAsync(store, blob);
        var second = await StoreAsync(store, blob);
        Assert.Equal(blob, await ReadAsync(store, first, 0, 1000));
        Assert.Equal(blob, await ReadAsync(store, second, 0, 1000));
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(5 * 1024 * 1024, true)]
    [InlineData(5 * 1024 * 1024, false)]
    [InlineData((17 * 1024 * 1024) + 3, true)]
    [InlineData((17 * 1024 * 1024) + 3, false)]
    public async Task A_blob_of_any_size_comes_back_whether_its_hash_was_announced_or_not(int size, bool announced)
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(size);
        var hash = BlossomServer.HashOf(blob);
        await using var draft = store.Begin(announced ? hash : null);
        for (var at = 0; at < size; at += 1_000_000)
        {
            await draft.AppendAsync(new ReadOnlySequence<byte>(blob, at, Math.Min(1_000_000, size - at)), default);
        }

        var place = await draft.CommitAsync(hash, default);
        Assert.Equal(blob, await ReadAsync(store, place, 0, size));
        if (size > 0)
        {
            Assert.Equal(blob[(size - 100)..], await ReadAsync(store, place, size - 100, 100));
        }
    }

    [Fact]
    public async Task A_large_draft_without_commit_leaves_nothing()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(11 * 1024 * 1024);
        await using (var draft = store.Begin(BlossomServer.HashOf(blob)))
        {
            await draft.AppendAsync(new ReadOnlySequence<byte>(blob), default);
        }

        Assert.Empty(await ListAsync(store));
        Assert.Equal(0, await CountRemainsAsync());
    }

    /// <summary>Unfinished uploads, wherever the store keeps them.</summary>
    private protected abstract Task<int> CountRemainsAsync();

    private protected static async Task<BlobPlace> StoreAsync(IBlobStore store, byte[] blob)
    {
        await using var draft = store.Begin(null);
        await draft.AppendAsync(new ReadOnlySequence<byte>(blob), default);
        return await draft.CommitAsync(BlossomServer.HashOf(blob), default);
    }

    private protected static async Task<byte[]> ReadAsync(IBlobStore store, BlobPlace place, long offset, long count)
    {
        await using var reader = await store.OpenAsync(place, default) ?? throw new FileNotFoundException();
        return await CopyAsync(reader, offset, count);
    }

    private protected static async Task<byte[]> CopyAsync(BlobReader reader, long offset, long count)
    {
        using var copy = new MemoryStream();
        var pipe = PipeWriter.Create(copy, new StreamPipeWriterOptions(leaveOpen: true));
        await reader.CopyToAsync(pipe, offset, count, default);
        await pipe.CompleteAsync();
        return copy.ToArray();
    }

    private protected static async Task<List<Bytes32>> ListAsync(IBlobStore store)
    {
        var all = new List<Bytes32>();
        await foreach (var (place, _) in store.ListAsync(default))
        {
            all.Add(place.Hash);
        }

        return all;
    }
}
