using System.Text.Json;

namespace Marmot.Hosting.Settings;

/// <summary>The settings file named by <c>--config</c>.</summary>
internal static class SettingsFile
{
    /// <summary>Makes sure that it is there and is one JSON object (comments and trailing commas allowed), before the framework reads it.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">It is no JSON object; the message names file, line and column.</exception>
    internal static string Check(string file)
    {
        string path = Path.GetFullPath(file);
        if (!File.Exists(path))
        {
            throw new FileNotFoundException(Directory.Exists(path)
                ? $"--config {file} is a folder, not a file"
                : $"--config {file}: there is no such file", path);
        }

        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"--config {file} cannot be read: {exception.Message}", exception);
        }

        try
        {
            using var document = JsonDocument.Parse(WithoutMark(bytes),
                new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException($"--config {file}: the file must be one JSON object: {{ \"Public\": {{ ... }} }}");
            }
        }
        catch (JsonException exception)
        {
            // The message repeats the position in its own counting, from 0.
            string reason = exception.Message.Split(" LineNumber:", 2)[0].Split(" Path:", 2)[0];
            throw new InvalidDataException($"--config {file}, line {exception.LineNumber + 1}, column {exception.BytePositionInLine + 1}: {reason}", exception);
        }

        return path;
    }

    private static ReadOnlyMemory<byte> WithoutMark(byte[] bytes) => bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
}
