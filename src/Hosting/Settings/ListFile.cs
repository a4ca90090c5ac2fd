using System.Diagnostics.CodeAnalysis;

namespace Marmot.Hosting.Settings;

/// <summary>A list the operator keeps in a text file: one entry a line. Spaces around it, empty lines and what follows a <c>#</c> are not looked at.</summary>
public static class ListFile
{
    /// <summary>Reads one entry.</summary>
    /// <returns>False when the text is none.</returns>
    public delegate bool EntryReader<T>(string text, [MaybeNullWhen(false)] out T entry);

    /// <summary>Reads the whole file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="reader">Reads an entry.</param>
    /// <param name="expected">What an entry is, for the mistake: <c>64 hex digits</c>.</param>
    /// <exception cref="InvalidDataException">The file cannot be read, or a line is no entry; the message names file and line, and does not repeat what stands
    /// there.</exception>
    public static IReadOnlyList<T> Read<T>(string path, EntryReader<T> reader, string expected)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"{path} cannot be read: {exception.Message}", exception);
        }

        var entries = new List<T>();
        for (int i = 0; i < lines.Length; i++)
        {
            int comment = lines[i].IndexOf('#', StringComparison.Ordinal);
            string text = (comment < 0 ? lines[i] : lines[i][..comment]).Trim();
            if (text.Length == 0)
            {
                continue;
            }

            entries.Add(reader(text, out var entry) ? entry : throw new InvalidDataException($"{path}, line {i + 1}: expected {expected}"));
        }

        return entries;
    }
}
