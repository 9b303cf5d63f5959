// Command nothing is a program to be packed.
package main

func main() {}
