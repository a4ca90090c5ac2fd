using Marmot.Platform.Files;
using Marmot.TestKit;

namespace Marmot.Platform.Tests.Files;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Replaces_the_whole_content_and_leaves_nothing_beside_it()
    {
        var path = _folder.File("state");
        AtomicFile.Replace(path, "a longer first content"u8);
        AtomicFile.Replace(path, "second"u8);
        Assert.Equal("second", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void A_replacement_that_fails_leaves_the_old_content_and_no_draft()
    {
        var path = _folder.File("state");
        Directory.CreateDirectory(path); // a file cannot take the place of a folder
        Assert.ThrowsAny<Exception>(() => AtomicFile.Replace(path, "new"u8));
        Assert.Empty(Directory.GetFiles(_folder.Path));
        Assert.True(Directory.Exists(path));
    }

    [Fact]
    public void What_a_crash_left_is_deleted_by_the_next_replacement_and_nothing_else_is()
    {
        var path = _folder.File("state");
        File.WriteAllText(path + ".0123456789abcdef.new", "half");
        string[] others = [_folder.File("state.old.0123456789abcdef.new"), _folder.File("state.new"), _folder.File("other.0123456789abcdef.new")];
        Array.ForEach(others, file => File.WriteAllText(file, "another's"));
        AtomicFile.Replace(path, "whole"u8);
        Assert.Equal(others.Append(path).Order(StringComparer.Ordinal), Directory.GetFiles(_folder.Path).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_file_that_is_there_is_not_created_again()
    {
        var path = _folder.File("key");
        Assert.True(AtomicFile.TryCreate(path, "first"u8));
        Assert.False(AtomicFile.TryCreate(path, "second"u8));
        Assert.Equal("first", File.ReadAllText(path));
    }

    [Fact]
    public async Task Of_many_who_create_a_file_at_once_one_succeeds_and_all_read_its_content()
    {
        for (var round = 0; round < 50; round++)
        {
            var path = _folder.File($"key{round}");
            using var start = new Barrier(4);
            var results = await Task.WhenAll(Enumerable.Range(0, 4).Select(number => Task.Factory.StartNew(
                () =>
                {
                    start.SignalAndWait();
                    var made = AtomicFile.TryCreate(path, [(byte)number, (byte)number, (byte)number]);
                    return (Made: made, Content: Convert.ToHexString(File.ReadAllBytes(path)));
                },
                TaskCreationOptions.LongRunning)));
            Assert.Single(results, result => result.Made);
            Assert.Single(results.Select(result => result.Content).Distinct());
            Assert.Equal(6, results[0].Content.Length);
        }
    }

    [Fact]
    public async Task Who_reads_while_a_file_is_replaced_gets_a_whole_content()
    {
        var path = _folder.File("state");
        AtomicFile.Replace(path, new byte[1000]);
        using var stop = new CancellationTokenSource();
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // A thread of its own: one of the pool may come too late on a busy machine.
        var reading = Task.Factory.StartNew(
            () =>
            {
                var reads = 0;
                for (; !stop.IsCancellationRequested; reads++)
                {
                    var content = File.ReadAllBytes(path);
                    Assert.Equal(1000, content.Length);
                    Assert.Single(content.Distinct());
                    first.TrySetResult();
                }

                return reads;
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        await Task.WhenAny(first.Task, reading);
        for (byte round = 1; round < 100; round++)
        {
            AtomicFile.Replace(path, Enumerable.Repeat(round, 1000).ToArray());
        }

        await stop.CancelAsync();
        Assert.True(await reading > 0);
    }

    [Fact]
    public void A_draft_that_was_placed_stays_open_as_the_file()
    {
        var path = _folder.File("log");
        AtomicFile.Replace(path, "old"u8);
        using (var draft = AtomicFile.OpenDraft(path))
        {
            draft.Write("new"u8);
            AtomicFile.Place(draft, path);
            draft.Write(" and more"u8);
        }

        Folders.FlushFolderOf(path);
        Assert.Equal("new and more", File.ReadAllText(path));
    }

    [Fact]
    public void Files_and_folders_of_one_user_have_that_mode_from_the_start()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var folder = _folder.File("private");
        Folders.CreateOwnerOnly(folder);
        var made = Path.Combine(folder, "made");
        Assert.True(SecretFile.TryCreate(made, "secret"u8));
        var replaced = Path.Combine(folder, "replaced");
        File.WriteAllText(replaced, "readable");
        AtomicFile.Replace(replaced, "secret"u8, FileModes.OwnerOnlyFile);
        Assert.Equal(FileModes.OwnerOnlyFolder, File.GetUnixFileMode(folder));
        Assert.Equal(FileModes.OwnerOnlyFile, File.GetUnixFileMode(made));
        Assert.Equal(FileModes.OwnerOnlyFile, File.GetUnixFileMode(replaced));
    }
}
