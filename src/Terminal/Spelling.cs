namespace Marmot.Terminal;

/// <summary>Which name somebody may have meant.</summary>
public static class Spelling
{
    /// <summary>The name with the fewest letters to change, whatever their case; null when there is none.</summary>
    public static string? Nearest(string word, IEnumerable<string> names) =>
        names.OrderBy(name => Distance(word.ToUpperInvariant(), name.ToUpperInvariant())).FirstOrDefault();

    /// <summary>The nearest name when it is near enough that a typing error is likely: one letter of a short word, two, or a third of a long one.</summary>
    public static string? Meant(string word, IEnumerable<string> names) =>
        Nearest(word, names) is { } name && Distance(word.ToUpperInvariant(), name.ToUpperInvariant()) <= Math.Max(word.Length > 4 ? 2 : 1, word.Length / 3)
            ? name : null;

    /// <summary>How many letters are to be put in, left out, changed, or swapped with their neighbour (Levenshtein, Damerau).</summary>
    public static int Distance(string left, string right)
    {
        int[] before = [], above = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int[] row = new int[right.Length + 1];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int substitution = above[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
                row[j] = Math.Min(substitution, Math.Min(above[j], row[j - 1]) + 1);
                if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
                {
                    row[j] = Math.Min(row[j], before[j - 2] + 1);
                }
            }

            (before, above) = (above, row);
        }

        return above[right.Length];
    }
}
