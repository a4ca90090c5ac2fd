using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Commands;

public sealed class BlossomCommandsTests
{
    [Fact]
    public async Task The_tools_work_on_a_stopped_store()
    {
        var folder = Directory.CreateTempSubdirectory("blossom-tools-").FullName;
        var data = $"--Storage:DataDirectory={folder}";
        using var key = SecretKey.Generate();
        await using (var server = await BlossomServer.StartInAsync(folder, null))
        {
            byte[][] blobs = [[0], [1], BlossomServer.RandomBlob(5000)]; // two small ones, one with a file of its own
            foreach (var each in blobs)
            {
                (await server.UploadAsync(key, each)).Dispose();
            }

            Assert.Equal(1, (await BlossomProcess.RunAsync("stats", data)).ExitCode); // one owner at a time
        }

        Assert.Contains("\"blobs\":3,\"claims\":3,\"bytes\":5002", (await BlossomProcess.RunAsync("stats", data)).Output, StringComparison.Ordinal);
        Assert.Contains(BlossomServer.HashOf([1]).ToString(), (await BlossomProcess.RunAsync("list", data)).Output, StringComparison.Ordinal);
        Assert.Equal(0, (await BlossomProcess.RunAsync("delete", BlossomServer.HashOf([0]).ToString(), data)).ExitCode);
        Assert.Equal(1, (await BlossomProcess.RunAsync("delete", BlossomServer.HashOf([0]).ToString(), data)).ExitCode);
        Assert.Equal(2, (await BlossomProcess.RunAsync("delete", data)).ExitCode);

        var exported = Path.Combine(folder, "out");
        Assert.Contains("\"exported\":2", (await BlossomProcess.RunAsync("export", exported, data)).Output, StringComparison.Ordinal);
        var other = Directory.CreateTempSubdirectory("blossom-tools-").FullName;
        Assert.Contains("\"imported\":2", (await BlossomProcess.RunAsync("import", exported, $"--Storage:DataDirectory={other}")).Output,
            StringComparison.Ordinal);

        var blob = Directory.EnumerateFiles(Path.Combine(other, "blossom", "objects"), "*", SearchOption.AllDirectories).Single();
        Assert.Equal(0, (await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}")).ExitCode);
        await File.WriteAllBytesAsync(blob, [77]);
        var (exit, report) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}");
        Assert.Equal(1, exit);
        Assert.Contains("\"whole\":1,\"damaged\":1", report, StringComparison.Ordinal);

        await using (var cells = File.OpenWrite(Path.Combine(other, "blossom", "small.cells")))
        {
            cells.Position = 64; // the blob's one byte
            cells.WriteByte(77);
        }

        (exit, report) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={other}");
        Assert.Equal(1, exit);
        Assert.Contains("\"whole\":0,\"damaged\":2,\"missing\":0", report, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
        Directory.Delete(other, recursive: true);
    }
}
