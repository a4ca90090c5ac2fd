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
        Assert.Equal([hash], await ListAsync(store));
    }

    [Fact]
    public async Task A_draft_without_commit_leaves_nothing()
    {
        await using var store = Open();
        await using (var draft = store.Begin())
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
        await using var draft = store.Begin();
        await draft.AppendAsync(pieces.Slice(0, 4321), default);
        await draft.AppendAsync(pieces.Slice(4321), default);
        await draft.CommitAsync(BlossomServer.HashOf(blob), default);
        Assert.Equal(blob, await ReadAsync(store, BlossomServer.HashOf(blob), 0, blob.Length));
    }

    [Fact]
    public async Task A_reader_keeps_its_bytes_through_a_deletion_and_a_new_upload()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(50_000);
        var hash = await StoreAsync(store, blob);
        await using var early = await store.OpenAsync(hash, default);
        Assert.True(await store.DeleteAsync(hash, default));
        Assert.False(await store.DeleteAsync(hash, default));
        Assert.Null(await store.OpenAsync(hash, default));
        await StoreAsync(store, blob);
        Assert.True(await store.DeleteAsync(hash, default));
        Assert.Equal(blob, await CopyAsync(early!, 0, blob.Length));
    }

    [Fact]
    public async Task Committing_a_hash_that_is_there_changes_nothing()
    {
        await using var store = Open();
        var blob = BlossomServer.RandomBlob(1000);
        var hash = await StoreAsync(store, blob);
        await StoreAsync(store, blob);
        Assert.Equal(blob, await ReadAsync(store, hash, 0, 1000));
        Assert.Single(await ListAsync(store));
    }

    private protected static async Task<Bytes32> StoreAsync(IBlobStore store, byte[] blob)
    {
        await using var draft = store.Begin();
        await draft.AppendAsync(new ReadOnlySequence<byte>(blob), default);
        await draft.CommitAsync(BlossomServer.HashOf(blob), default);
        return BlossomServer.HashOf(blob);
    }

    private static async Task<byte[]> ReadAsync(IBlobStore store, Bytes32 hash, long offset, long count)
    {
        await using var reader = await store.OpenAsync(hash, default);
        return await CopyAsync(reader!, offset, count);
    }

    private static async Task<byte[]> CopyAsync(BlobReader reader, long offset, long count)
    {
        using var copy = new MemoryStream();
        var pipe = PipeWriter.Create(copy, new StreamPipeWriterOptions(leaveOpen: true));
        await reader.CopyToAsync(pipe, offset, count, default);
        await pipe.CompleteAsync();
        return copy.ToArray();
    }

    private static async Task<List<Bytes32>> ListAsync(IBlobStore store)
    {
        var all = new List<Bytes32>();
        await foreach (var hash in store.ListAsync(default))
        {
            all.Add(hash);
        }

        return all;
    }
}
